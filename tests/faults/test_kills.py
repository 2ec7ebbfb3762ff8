"""kill -9 at any moment: training resumes to the same bytes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from faults import Tally, assert_valid, counted, rng_for, tallied
from process_harness import ProcessHarness, Victim, finish


def kills(
    harness: ProcessHarness, folder: Path, workers: int, count: int, tally: Tally
) -> list[Victim]:
    """Runs that are killed one to three times, each at a random moment, and then finished."""
    reference = harness.reference(workers=workers)
    victims: list[Victim] = []
    for number in range(count):
        random = rng_for("kill", workers, number)
        with tally.run(f"run {number}, {workers} workers"):
            session = reference.copy(folder / str(number))
            for _ in range(random.choice([1, 1, 1, 2, 3])):
                victims.append(killed(harness, session, random.uniform(0, reference.seconds)))
                assert_valid(session)
            finish(harness, session, reference)
    return victims


def killed(harness: ProcessHarness, session: Path, moment: float, *patches: str) -> Victim:
    """Train, and kill the process after so many seconds."""
    victim = harness.start(session.parent, "train", "run", patches=patches)
    time.sleep(moment)
    victim.kill(signal.SIGKILL)
    status = victim.wait()
    assert status in (0, -signal.SIGKILL), f"status {status}:\n{victim.stderr}"
    return victim


def assert_no_orphans(victims: list[Victim]) -> None:
    """The system ends a worker with its process."""
    left = [pid for victim in victims for pid in victim.survivors(seconds=1)]
    assert not left, f"workers live on: {left}"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_few_kills(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    tally = Tally("a few kills")
    victims = kills(harness, tmp_path, workers, 2 - workers // 2, tally)
    with tally.run("orphans"):
        assert_no_orphans(victims)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_kills(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    with tallied(f"kill -9 at a random moment, {workers} workers") as tally:
        victims = kills(harness, tmp_path, workers, counted(100), tally)
        with tally.run("orphans"):
            assert_no_orphans(victims)
