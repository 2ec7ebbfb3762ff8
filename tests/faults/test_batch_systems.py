"""Signals of terminals and batch systems: SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from faults import (
    Reference,
    assert_exact,
    assert_valid,
    checkpoints_of,
    counted,
    rng_for,
    step_of,
    tallied,
    write_json,
)
from process_harness import ProcessHarness, Victim, finish
from test_read_only import INFERENCE
from test_signals import MOST_DYING, MOST_SECONDS, signalled

STOPPING = (signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU)
SAVED = "is saved in run, as requested"


def sleeping(harness: ProcessHarness, session: Path, **options: object) -> Victim:
    """A run that takes a while, and listens."""
    victim = harness.start(session.parent, "train", "run", env={"FAULTS_SLEEP": "0.02"}, **options)
    victim.listens(signal.SIGALRM)
    return victim


def saved_on_the_way(
    harness: ProcessHarness, folder: Path, reference: Reference, number: int
) -> None:
    """A run that is asked three times to save, with all of its workers, and continues."""
    random = rng_for("save", number)
    session = reference.copy(folder)
    victim = sleeping(harness, session)
    for _ in range(3):
        time.sleep(random.uniform(0.05, 0.5))
        if victim.running():
            victim.kill(signal.SIGUSR1, group=True)
    assert victim.wait() == 0, victim.stderr
    assert SAVED in victim.stderr, victim.stderr
    assert "error:" not in victim.stderr, victim.stderr
    assert not victim.survivors(MOST_DYING)
    assert_exact(session, reference)


def test_it_is_saved_and_stopped(harness: ProcessHarness, tmp_path: Path) -> None:
    """And resumes to the same bytes; the next test but one sends the other signals."""
    reference = harness.reference(workers=2)
    session = reference.copy(tmp_path)
    random = rng_for("batch", 0)
    signalled(harness, session, reference, random, signal.SIGUSR2, group=True, twice=False)
    finish(harness, session, reference)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_saved_and_goes_on(harness: ProcessHarness, tmp_path: Path, workers: int) -> None:
    saved_on_the_way(harness, tmp_path, harness.reference(workers=workers), workers)


@pytest.mark.faults
def test_signals_of_batch_systems(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("SIGHUP, SIGUSR2 or SIGXCPU at a random moment") as tally:
        for number in range(counted(50)):
            signum, workers = STOPPING[number % 3], (0, 2)[number % 2]
            reference = harness.reference(workers=workers)
            with tally.run(f"run {number}: {signum.name}, {workers} workers"):
                session = reference.copy(tmp_path / str(number))
                random = rng_for("batch", number)
                group = bool(random.randrange(2))
                signalled(harness, session, reference, random, signum, group, twice=False)
                finish(harness, session, reference)
    with tallied("SIGUSR1 three times at random moments") as tally:
        for number in range(counted(30)):
            with tally.run(f"run {number}"):
                reference = harness.reference(workers=(0, 2)[number % 2])
                saved_on_the_way(harness, tmp_path / f"saved {number}", reference, number)


def test_a_repeated_signal_does_not_stop_at_once(harness: ProcessHarness, tmp_path: Path) -> None:
    """A closed terminal sends SIGHUP twice, and a batch system sends SIGTERM after its warning."""
    reference = harness.reference(workers=2)
    session = reference.copy(tmp_path)
    iterations = tmp_path / "iterations"
    iterations.touch()
    victim = harness.start(
        tmp_path, "train", "run", env={"FAULTS_SLEEP": "0.02", "FAULTS_COUNT": str(iterations)}
    )
    victim.listens(signal.SIGALRM)
    time.sleep(0.5)
    for signum in (signal.SIGHUP, signal.SIGHUP, signal.SIGXCPU, signal.SIGTERM, signal.SIGHUP):
        victim.kill(signum, group=True)
    ended_by = signal.Signals(victim.wait(MOST_SECONDS) - 128)
    # Each may be delivered to another thread, and so the first may not be the first to arrive.
    assert ended_by in (signal.SIGHUP, signal.SIGXCPU, signal.SIGTERM), victim.stderr
    (*_, last) = victim.stderr.splitlines()
    assert ": the state after iteration" in last
    assert step_of(checkpoints_of(session)[-1]) == iterations.stat().st_size
    assert not victim.survivors(MOST_DYING)
    finish(harness, session, reference)


def test_under_nohup_it_goes_on(harness: ProcessHarness, tmp_path: Path) -> None:
    reference = harness.reference(workers=2)
    session = reference.copy(tmp_path)
    victim = sleeping(harness, session, patches=["ignoring_hangup"])
    time.sleep(0.3)
    victim.kill(signal.SIGHUP, group=True)
    assert victim.wait() == 0, victim.stderr
    assert_exact(session, reference)


def test_asked_before_there_is_anything_to_save(harness: ProcessHarness, tmp_path: Path) -> None:
    """It never ends a command; while a session is loaded, the request is remembered."""
    reference = harness.reference()
    session = reference.copy(tmp_path)
    write_json(tmp_path / "inference.json", INFERENCE)
    commands = {
        "init new.json": "nothing is trained",
        "evaluate run": "nothing is trained",
        "infer inference.json 1,2": "nothing is trained",
        "train run": "saved after the first iteration",
    }
    (tmp_path / "new.json").write_text(
        (reference.folder / "config.json").read_text().replace('"run"', '"new"', 1)
    )
    for command, expected in commands.items():
        victim = harness.start(tmp_path, *command.split(), env={"FAULTS_SLEEP": "0.01"})
        victim.listens(signal.SIGUSR1)
        while victim.running():
            victim.kill(signal.SIGUSR1)
            time.sleep(0.01)
        assert victim.status == 0, f"{command}: {victim.status}\n{victim.stderr}"
        assert expected in victim.stderr, f"{command}: {victim.stderr}"
        assert "Traceback" not in victim.stderr, victim.stderr
    assert SAVED in victim.stderr
    assert_valid(session)
    assert_exact(session, reference)
