"""kill -9 at any moment: training resumes to the same bytes."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from faults import (
    Tally,
    assert_valid,
    checkpoints_of,
    counted,
    fault_config,
    rng_for,
    tallied,
    tree,
    write_json,
)
from process_harness import ProcessHarness, Victim, finish


def kills(
    harness: ProcessHarness,
    folder: Path,
    workers: int,
    count: int,
    tally: Tally,
    listeners: bool = False,
) -> list[Victim]:
    """Runs that are killed one to three times, each at a random moment, and then finished."""
    reference = harness.reference(workers=workers, listeners=listeners)
    victims: list[Victim] = []
    for number in range(count):
        random = rng_for("kill", workers, number)
        with tally.run(f"run {number}, {workers} workers"):
            session = reference.copy(folder / str(number))
            for _ in range(random.choice([1, 1, 1, 2, 3])):
                victims.append(killed(harness, session, random.uniform(0, reference.seconds)))
                assert_valid(session)
            finish(harness, session, reference)
            if listeners:
                assert_weights_of_best(session)
    return victims


def killed(harness: ProcessHarness, session: Path, moment: float, *patches: str) -> Victim:
    """Train, and kill the process after so many seconds."""
    victim = harness.start(session.parent, "train", "run", patches=patches)
    time.sleep(moment)
    victim.kill(signal.SIGKILL)
    status = victim.wait()
    assert status in (0, -signal.SIGKILL), f"status {status}:\n{victim.stderr}"
    return victim


def assert_weights_of_best(session: Path) -> None:
    """The files of weights are the models of the checkpoint that has the best score."""
    scores = {
        path: json.loads((path / "manifest.json").read_text())["scores"]
        for path in checkpoints_of(session)
    }
    for monitor, folder in (("val loss", "val loss"), ("spread/drawn", "spread%2Fdrawn")):
        best = min((s[monitor], str(path)) for path, s in scores.items() if monitor in s)
        assert tree(session / "weights/best" / folder) == tree(Path(best[1]) / "models"), monitor


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


def verified(harness: ProcessHarness, folder: Path) -> str:
    """What ``verify-resume`` says of the whole run with everything that listens."""
    write_json(folder / "config.json", fault_config(listeners=True))
    command = ("verify-resume", "config.json", "--iterations", "24")
    victim = harness.start(folder, *command)
    assert victim.wait(120) == 0, victim.stdout + victim.stderr
    return victim.stdout


def test_a_kill_with_everything_that_listens(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("a kill with everything that listens")
    kills(harness, tmp_path, 0, 1, tally, listeners=True)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 2])
def test_kills_with_everything_that_listens(
    harness: ProcessHarness, tmp_path: Path, workers: int
) -> None:
    scenario = f"kill -9 with callbacks, evaluators, logs and weights, {workers} workers"
    with tallied(scenario) as tally:
        kills(harness, tmp_path, workers, counted(40), tally, listeners=True)
        with tally.run("verify-resume"):
            assert "are identical" in verified(harness, tmp_path)
