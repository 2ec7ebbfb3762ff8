"""A damaged session that is trained on: it is told what is wrong, and the bytes are the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cuts import SMALL
from damage import Patient, patient
from faults import Tally, dice, differences, end_of, tallied
from process_harness import ProcessHarness, Victim

Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """A bit of a file is another one."""
    data = bytearray(path.read_bytes())
    bit = dice(path.name).randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def halve(path: Path) -> None:
    """The second half of a file is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(path: Path) -> None:
    """A file is gone."""
    path.unlink()


DAMAGES: tuple[Damage, ...] = (flip, halve, remove)


def trained_on(
    harness: ProcessHarness, folder: Path, begun: Patient, damage: Damage, names: Sequence[str]
) -> Victim:
    """Train a session in which some files were damaged."""
    session = Path(shutil.copytree(begun.session, folder / "run"))
    for name in names:
        damage(session / name)
    return harness.run(folder, "train", "run")


def goes_on(
    harness: ProcessHarness, folder: Path, begun: Patient, damage: Damage, name: str
) -> None:
    """What is damaged is named, and the run ends as it would have ended."""
    victim = trained_on(harness, folder, begun, damage, [name])
    checkpoint = name.split("/")[1] if name.startswith("checkpoints/") else ""
    assert victim.status == 0, f"status {victim.status}:\n{victim.told}"
    assert "warning: " in victim.told, victim.told
    assert (checkpoint or Path(name).name) in victim.told, victim.told
    found = differences(end_of(folder / "run"), harness.reference(**SMALL).end)
    assert not found, f"it ended otherwise: {found}\n{victim.told}"
    if not checkpoint and name != "environment.json":
        again = harness.run(folder, "evaluate", "run")
        assert again.status == 0 and "warning: " not in again.told, again.told


def is_refused(
    harness: ProcessHarness, folder: Path, begun: Patient, damage: Damage, names: Sequence[str]
) -> None:
    """What is damaged is named, each in a line, and there is nothing to go on from."""
    victim = trained_on(harness, folder, begun, damage, names)
    assert victim.status == 2, f"status {victim.status}:\n{victim.told}"
    assert victim.told.count("error: ") == victim.told.count("\n") == len(names), victim.told
    for name in names:
        parts = name.split("/")
        assert (parts[1] if parts[0] == "checkpoints" else parts[-1]) in victim.told, victim.told


def repairs(harness: ProcessHarness, folder: Path, tally: Tally, damages: Sequence[Damage]) -> None:
    """Every kind of file, one at a time; and all checkpoints at once."""
    begun = patient(harness, folder / "begun")
    newest = f"checkpoints/{begun.names[-1]}"
    static = [name for name in begun.whole if name.startswith("static/")]
    mended = [n for n in begun.whole if n.startswith((newest, "metrics/", "history/"))]
    all_states = [f"checkpoints/{name}/state.json" for name in begun.names]
    for damage in damages:
        place = folder / damage.__name__
        for number, name in enumerate([*mended, "spec.json", "environment.json"]):
            if damage is remove and name == "environment.json":
                continue
            with tally.run(f"{damage.__name__} {name}"):
                goes_on(harness, place / str(number), begun, damage, name)
        for number, names in enumerate([*([name] for name in static), all_states]):
            with tally.run(f"{damage.__name__} {', '.join(names)}"):
                is_refused(harness, place / f"refused {number}", begun, damage, names)


def test_some_repairs(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("some repairs")
    repairs(harness, tmp_path, tally, [halve])
    tally.close()


@pytest.mark.faults
def test_repairs(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("a damaged file, and training goes on") as tally:
        repairs(harness, tmp_path, tally, DAMAGES)
