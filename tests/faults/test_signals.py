"""SIGINT and SIGTERM at any moment: the run saves, stops, and resumes to the same bytes."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from random import Random

import pytest
from faults import (
    Reference,
    Tally,
    assert_valid,
    checkpoints_of,
    counted,
    fault_config,
    has_ended,
    rng_for,
    step_of,
    tallied,
    write_json,
)
from process_harness import ProcessHarness, Victim, finish

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MOST_SECONDS = 10
"""From a signal to the end of the process."""
MOST_DYING = 1
"""From there to the end of the last worker."""


def signals(harness: ProcessHarness, folder: Path, count: int, tally: Tally) -> None:
    """Runs that get a signal or two at a random moment, and are then finished."""
    for number in range(count):
        random = rng_for("signal", number)
        reference = harness.reference(workers=(0, 2)[number % 2])
        signum, group, twice = SIGNALS[number // 2 % 2], number // 4 % 2 == 1, number % 3 == 2
        with tally.run(f"run {number}: {signum.name}, group {group}, twice {twice}"):
            session = reference.copy(folder / str(number))
            signalled(harness, session, reference, random, signum, group, twice)
            finish(harness, session, reference)


def signalled(
    harness: ProcessHarness,
    session: Path,
    reference: Reference,
    random: Random,
    signum: signal.Signals,
    group: bool,
    twice: bool,
) -> None:
    """One run up to its signal."""
    iterations = session.parent / "iterations"
    iterations.touch()
    victim = harness.start(session.parent, "train", "run", env={"FAULTS_COUNT": str(iterations)})
    # SIGINT has a handler of Python's own from the start.
    victim.listens(signal.SIGTERM)
    time.sleep(random.uniform(0, reference.seconds))
    victim.kill(signum, group)
    if twice:
        time.sleep(random.uniform(0, 0.3))
        if victim.running():
            victim.kill(random.choice(SIGNALS), group)
    status = victim.wait(MOST_SECONDS)
    left = victim.survivors(MOST_DYING)
    assert not left, f"workers live on: {left}"
    assert_valid(session)
    possible = SIGNALS if twice else (signum,)
    assert_status(victim, status, possible, twice, has_ended(session, reference))
    if status == 128 + signum and not twice:
        saved, done = step_of(checkpoints_of(session)[-1]), iterations.stat().st_size
        assert saved == done, f"{done} iterations were done, {saved} are saved:\n{victim.stderr}"


def assert_status(
    victim: Victim,
    status: int,
    possible: tuple[signal.Signals, ...],
    twice: bool,
    ended: bool,
) -> None:
    """The status names the signal; a process that is about to end may ignore it."""
    allowed = {128 + signum for signum in possible}
    if twice or ended:
        allowed |= {-signum for signum in possible}
    if ended:
        allowed.add(0)
    assert status in allowed, f"status {status}:\n{victim.stderr}"
    for text in () if twice or ended else ("torchassistant/", "Exception ignored"):
        assert text not in victim.stderr, victim.stderr


def interrupted_init(
    harness: ProcessHarness, folder: Path, random: Random, signum: signal.Signals
) -> None:
    """A signal while a preprocessor is fitted: no session, no leftover files."""
    folder.mkdir()
    write_json(folder / "config.json", fault_config())
    victim = harness.start(folder, "init", "config.json", env={"FAULTS_SLEEP": "0.1"})
    victim.listens(signal.SIGTERM)
    time.sleep(random.uniform(0.2, 1))
    victim.kill(signum)
    assert victim.wait(MOST_SECONDS) == 128 + signum, victim.stderr
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_some_signals(harness: ProcessHarness, tmp_path: Path) -> None:
    tally = Tally("some signals")
    signals(harness, tmp_path, 5, tally)
    with tally.run("init"):
        interrupted_init(harness, tmp_path / "init", rng_for("init"), signal.SIGTERM)
    tally.close()


@pytest.mark.faults
def test_signals(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("a signal at a random moment") as tally:
        signals(harness, tmp_path, counted(50), tally)


@pytest.mark.faults
def test_signals_in_init(harness: ProcessHarness, tmp_path: Path) -> None:
    with tallied("a signal while a preprocessor is fitted") as tally:
        for number in range(counted(10)):
            signum = SIGNALS[number % 2]
            with tally.run(f"run {number}: {signum.name}"):
                interrupted_init(harness, tmp_path / str(number), rng_for("init", number), signum)
