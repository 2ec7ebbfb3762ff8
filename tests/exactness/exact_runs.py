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
from ranks import train

from torchassistant import create_session, load_session
from torchassistant.errors import Interrupted
from torchassistant.session import Session
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
by one, which computes the same parts: ``make test-processes``."""

CANNOT_BE_CUT = (
    "keeps a state of its own",
    "Expected more than 1 value per channel",
    "sparse gradients cannot be added up",
    "cannot be cut for several processes",
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
        if PROCESSES:
            if "train_step" in repr(config):
                pytest.skip("a step of one's own makes the parts of its own process only")
            config = {**config, "distributed": {"logical_ranks": PROCESSES}}
        create_session(config, session_dir=self.plain)
        self.copy(self.plain, "created")
        if PROCESSES:
            self._train_together()
        session = load_session(self.plain)
        session.train()
        self.steps = session.progress.step

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
        cut = Cut(**where)
        with pytest.raises(Interrupted):
            load_session(path).train(cut, cut.stop)

    def check_cuts(self, iterations: Sequence[int] | None = None) -> None:
        """A cut at each iteration, or at some, each in a run of its own."""
        for iteration in iterations or some(self.steps):
            session = self.cut(f"cut at {iteration}", iteration=iteration)
            assert session.progress.step == iteration
            session.train()
            assert_same_bits(session.path, self.plain)

    def check_cuts_in_validation(self, batches: int) -> None:
        """A cut at each batch of validation, or at some, each in a run of its own."""
        for evaluated in some(batches):
            session = self.cut(f"cut in validation {evaluated}", evaluated=evaluated)
            session.train()
            assert_same_bits(session.path, self.plain)

    def check_all_cuts_in_one(self) -> None:
        """One run that is cut at every iteration, or at some, two of which follow each other."""
        path, done = self.copy(self.folder / "created", "cut everywhere"), 0
        for iteration in sorted({*some(self.steps), min(2, self.steps)}):
            self.go_on_to(path, iteration=iteration - done)
            done = iteration
        load_session(path).train()
        assert_same_bits(path, self.plain)
