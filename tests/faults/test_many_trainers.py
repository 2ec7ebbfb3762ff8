"""Many processes train one session at once: one trains, the others report which one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from faults import Tally, counted, tallied
from interruptions import SMALL
from process_harness import ProcessHarness, Victim, finish

CROWD = 20
PATIENCE = 60


def many_trainers(
    harness: ProcessHarness,
    folder: Path,
    *patches: str,
    crowd: int = CROWD,
    patience: float = PATIENCE,
) -> None:
    """Start them at once; the winner waits until all others have gone, and ends exactly."""
    reference = harness.reference(**SMALL)
    session = reference.copy(folder)
    gate = folder / "gate"
    env = {"FAULTS_GATE": str(gate)}
    victims = [harness.hold(folder, "train", "run", env=env, patches=patches) for _ in range(crowd)]
    for victim in victims:
        victim.release()
    try:
        waiting = still_running(victims, patience)
    finally:
        gate.touch()
        statuses = [victim.wait() for victim in victims]
    winners = [victim for victim in victims if victim.status == 0]
    assert len(waiting) == len(winners) == 1, f"{len(winners)} won; all statuses: {statuses}"
    for victim in victims:
        if victim is not winners[0]:
            assert victim.status == 2, f"status {victim.status}:\n{victim.stderr}"
            assert f"process {winners[0].pid}" in victim.stderr, victim.stderr
            assert victim.stderr.count("\n") == 1, victim.stderr
    finish(harness, session, reference)


def still_running(crowd: list[Victim], patience: float) -> list[Victim]:
    """Those who run when at most one is left, or when patience is at its end."""
    until = time.monotonic() + patience
    while len(left := [v for v in crowd if v.running()]) > 1 and time.monotonic() < until:
        time.sleep(0.05)
    return left


def test_twenty_trainers(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("twenty trainers")
    with tally.run("at once"):
        many_trainers(harness, tmp_path)
    tally.close()


@pytest.mark.faults
def test_twenty_trainers_often(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("20 trainers at once") as tally:
        for number in range(counted(10)):
            with tally.run(f"run {number}"):
                many_trainers(harness, tmp_path / str(number))
