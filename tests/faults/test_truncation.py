"""Every file of a session, truncated to every length: never accepted silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import complaint, interrupted_session
from faults import Tally, counted, rng_for, tallied
from process_harness import ProcessHarness

SMALL_FILE = 400
LENGTHS = 40


def lengths_of(name: str, size: int) -> list[int]:
    """Every length of a small file, and some of a larger one."""
    if size < SMALL_FILE:
        return list(range(size))
    between = rng_for("lengths", name).sample(range(1, size - 1), counted(LENGTHS))
    return [0, *between, size - 1]


def truncations(harness: ProcessHarness, folder: Path, tally: Tally, few: bool = False) -> None:
    """Truncate every file of a session, one at a time, and load it."""
    session = interrupted_session(harness, folder)
    for name, data in session.files.items():
        for length in [len(data) // 2] if few else lengths_of(name, len(data)):
            (session.session / name).write_bytes(data[:length])
            tally.note(f"{name} cut to {length} of {len(data)} bytes", complaint(session, name))
            session.restore()


def removals(harness: ProcessHarness, folder: Path, tally: Tally) -> None:
    """Remove every file of a session, one at a time, and load it."""
    session = interrupted_session(harness, folder)
    for name in session.files:
        (session.session / name).unlink()
        tally.note(f"{name} is missing", complaint(session, name))
        session.restore()


@pytest.mark.faults
def test_some_truncations(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("some truncations")
    truncations(harness, tmp_path / "cut", tally, few=True)
    removals(harness, tmp_path / "removed", tally)
    tally.close()


@pytest.mark.faults
def test_truncations(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("a truncated file") as tally:
        truncations(harness, tmp_path, tally)
