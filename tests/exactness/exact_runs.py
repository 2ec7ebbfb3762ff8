"""Runs that are cut, and what they have to end like."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from exact_configs import Config, without_seconds
from ranks import ranks, train, trained

from torchassistant import create_session, load_session
from torchassistant.cli.processes import in_processes
from torchassistant.errors import ConfigError, Interrupted
from torchassistant.parallel import Processes, launched
from torchassistant.session import Draft, Session
from torchassistant.training import Reporter, StopRequest
from torchassistant.training.events import Live

DEVICE = os.environ.get("EXACT_DEVICE")
"""Where runs train, in place of what their configs say: ``make test-gpu`` names a GPU."""


class Cut(Reporter):
    """Asks for an end after an iteration, or after a batch of validation, counted from 1."""

    def __init__(self, iteration: int = 0, evaluated: int = 0) -> None:
        self.iteration, self.evaluated = iteration, evaluated
        self.stop = StopRequest()

    def iteration_done(self, live: Live) -> None:
        self.iteration -= 1
        self._ask(self.iteration)

    def batch_evaluated(self) -> None:
        self.evaluated -= 1
        self._ask(self.evaluated)

    def _ask(self, left: int) -> None:
        if left == 0:
            self.stop.signum = signal.SIGINT


PROCESSES = int(os.environ.get("EXACT_PROCESSES", "0"))
"""So many train the run without a cut, each its part of the batches; runs that are cut are trained
by one, which computes the same parts, or by as many where a step is the user's own: ``make
test-processes``."""

CANNOT_BE_CUT = (
    "Expected more than 1 value per channel",
    "sparse gradients cannot be added up",
    "cannot be cut for several processes",
    "has fewer examples (1) than there are processes",
)
"""What is told of configs that are for whole batches only."""


def last_state(session: Path) -> dict[str, bytes]:
    """The files of the last checkpoint: weights, optimizers, random numbers, and all the rest."""
    folder = sorted((session / "checkpoints").iterdir())[-1]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != "manifest.json"
        # What is stored of the circumstances is not that of one process.
        and not (PROCESSES and path.parent == folder)
    }


def assert_same_bits(one: Path, other: Path) -> None:
    """Both sessions ended in the same state, to the last bit, with the same history."""
    mine, theirs = last_state(one), last_state(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []
    assert without_seconds(one) == without_seconds(other)


def some(places: int) -> list[int]:
    """The places, from 1, at which runs are cut: all of them takes long (``make test-slow``)."""
    if "EVERY_CUT" in os.environ:
        return list(range(1, places + 1))
    return sorted({1, (places + 1) // 2, places})


def cut_together(count: int, path: Path, iteration: int = 0, evaluated: int = 0) -> None:
    """Cut a run of several processes, the first of which is asked: all know with the next step."""

    def run(processes: Processes) -> int:
        cut = Cut(iteration - 1, evaluated)
        if iteration == 1 and processes.is_first:
            cut.stop.signum = signal.SIGINT
        reporter = cut if processes.is_first else Reporter()
        load_session(path).train(reporter, cut.stop, processes=processes)
        return 0

    with ranks(count, lambda: in_processes(launched(), run)) as running:
        statuses = running.wait()
        assert statuses == [128 + signal.SIGINT] * count, running.printed()


def cut_alone(path: Path, **where: int) -> None:
    """Train a session from where it is to where it is cut off, in this process."""
    cut = Cut(**where)
    with pytest.raises(Interrupted):
        load_session(path).train(cut, cut.stop)


class Runs:
    """A session as it was created, and the same trained without a cut.

    Args:
        config: The config.
        folder: For all sessions.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.folder = folder
        self.plain = folder / "plain"
        if DEVICE is not None:
            config = {"deterministic": True, **config, "device": DEVICE}
        self.together = 1
        if PROCESSES:
            config = self._shared(config)
        create_session(config, session_dir=self.plain)
        self.copy(self.plain, "created")
        if PROCESSES:
            self._train_together()
        session = load_session(self.plain)
        session.train()
        self.steps = session.progress.step

    def _shared(self, config: Config) -> Config:
        in_parts = {**config, "distributed": {"logical_ranks": PROCESSES}}
        if "train_step" not in repr(config):
            return in_parts
        with pytest.raises(ConfigError, match="which is called once in each process"):
            Draft(in_parts)
        self.together = PROCESSES
        return {**config, "distributed": {}}

    def _train_together(self) -> None:
        torch.set_num_threads(1)
        statuses, printed = train(PROCESSES, self.plain)
        told = next((text for text in CANNOT_BE_CUT if text in printed[0]), None)
        if told is not None:
            pytest.skip(told)
        assert statuses == [0] * PROCESSES, printed

    def copy(self, session: Path, name: str) -> Path:
        return Path(shutil.copytree(session, self.folder / name))

    def cut(self, name: str, **where: int) -> Session:
        """A session that was cut once, as another process finds it."""
        path = self.copy(self.folder / "created", name)
        self.go_on_to(path, **where)
        return load_session(path)

    def go_on_to(self, path: Path, **where: int) -> None:
        if self.together > 1:
            cut_together(self.together, path, **where)
        else:
            cut_alone(path, **where)

    def finish(self, session: Session) -> None:
        """Train it to its end."""
        if self.together > 1:
            trained(self.together, session.path)
        else:
            session.train()

    def check_cuts(self, iterations: Sequence[int] | None = None) -> None:
        """A cut at each iteration, or at some, each in a run of its own."""
        for iteration in iterations or some(self.steps):
            session = self.cut(f"cut at {iteration}", iteration=iteration)
            assert session.progress.step == iteration
            self.finish(session)
            assert_same_bits(session.path, self.plain)

    def check_cuts_in_validation(self, batches: int) -> None:
        """A cut at each batch of validation, or at some, each in a run of its own."""
        for evaluated in some(batches):
            session = self.cut(f"cut in validation {evaluated}", evaluated=evaluated)
            self.finish(session)
            assert_same_bits(session.path, self.plain)

    def check_all_cuts_in_one(self) -> None:
        """One run that is cut at every iteration, or at some, two of which follow each other."""
        path, done = self.copy(self.folder / "created", "cut everywhere"), 0
        for iteration in sorted({*some(self.steps), min(2, self.steps)}):
            self.go_on_to(path, iteration=iteration - done)
            done = iteration
        self.finish(load_session(path))
        assert_same_bits(path, self.plain)
