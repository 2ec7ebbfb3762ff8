"""Resuming a damaged session: the damage is reported and repaired, and the bytes are the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from damage import InterruptedSession, interrupted_session
from faults import Tally, differences, end_of, rng_for, tallied
from interruptions import SMALL
from process_harness import ProcessHarness, Victim

Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """Flip a bit of a file."""
    data = bytearray(path.read_bytes())
    bit = rng_for(path.name).randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def halve(path: Path) -> None:
    """Truncate a file to its first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(path: Path) -> None:
    """Remove a file."""
    path.unlink()


DAMAGES: tuple[Damage, ...] = (flip, halve, remove)


def trained_on(
    harness: ProcessHarness,
    folder: Path,
    begun: InterruptedSession,
    damage: Damage,
    names: Sequence[str],
) -> Victim:
    """Train a session in which some files were damaged."""
    session = Path(shutil.copytree(begun.session, folder / "run"))
    for name in names:
        damage(session / name)
    return harness.run(folder, "train", "run")


def is_repaired(
    harness: ProcessHarness, folder: Path, begun: InterruptedSession, damage: Damage, name: str
) -> None:
    """The damaged file is reported, and the run ends as without damage."""
    victim = trained_on(harness, folder, begun, damage, [name])
    checkpoint = name.split("/")[1] if name.startswith("checkpoints/") else ""
    assert victim.status == 0, f"status {victim.status}:\n{victim.stderr}"
    assert "warning: " in victim.stderr, victim.stderr
    assert (checkpoint or Path(name).name) in victim.stderr, victim.stderr
    found = differences(end_of(folder / "run"), harness.reference(**SMALL).end)
    assert not found, f"it ended differently: {found}\n{victim.stderr}"
    if not checkpoint and name != "environment.json":
        again = harness.run(folder, "evaluate", "run")
        assert again.status == 0 and "warning: " not in again.stderr, again.stderr


def is_refused(
    harness: ProcessHarness,
    folder: Path,
    begun: InterruptedSession,
    damage: Damage,
    names: Sequence[str],
) -> None:
    """Each damaged file is reported in a line, and the session cannot be resumed."""
    victim = trained_on(harness, folder, begun, damage, names)
    assert victim.status == 2, f"status {victim.status}:\n{victim.stderr}"
    assert victim.stderr.count("error: ") == victim.stderr.count("\n") == len(names), victim.stderr
    for name in names:
        parts = name.split("/")
        assert (parts[1] if parts[0] == "checkpoints" else parts[-1]) in victim.stderr, (
            victim.stderr
        )


def repairs(harness: ProcessHarness, folder: Path, tally: Tally, damages: Sequence[Damage]) -> None:
    """Every kind of file, one at a time; and all checkpoints at once."""
    begun = interrupted_session(harness, folder / "begun")
    newest = f"checkpoints/{begun.names[-1]}"
    static = [name for name in begun.files if name.startswith("static/")]
    repairable = [n for n in begun.files if n.startswith((newest, "metrics/", "history/"))]
    all_states = [f"checkpoints/{name}/state.json" for name in begun.names]
    for damage in damages:
        place = folder / damage.__name__
        for number, name in enumerate([*repairable, "spec.json", "environment.json"]):
            if damage is remove and name == "environment.json":
                continue
            with tally.run(f"{damage.__name__} {name}"):
                is_repaired(harness, place / str(number), begun, damage, name)
        for number, names in enumerate([*([name] for name in static), all_states]):
            with tally.run(f"{damage.__name__} {', '.join(names)}"):
                is_refused(harness, place / f"refused {number}", begun, damage, names)


def test_some_repairs(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("some repairs")
    repairs(harness, tmp_path, tally, [halve])
    tally.close()


@pytest.mark.faults
def test_repairs(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("a damaged file, and training resumes") as tally:
        repairs(harness, tmp_path, tally, DAMAGES)
