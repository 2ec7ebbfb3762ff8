"""A session and loops written by hand in one process, an epoch of each in turn."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import nn

from benchmarks.figures import Figure, ratio
from benchmarks.plain import ByHand
from benchmarks.tasks import Config, Task
from benchmarks.terminal import terminal
from torchassistant import create_session
from torchassistant.data.rng import derived
from torchassistant.session import Session
from torchassistant.training import Progress, Row
from torchassistant.training.progress_bar import BarReporter

OURS = "ours"
BARE, BAR = "loop by hand, no bar", "loop by hand, bar with running loss"
WARM_UP = 1
"""Rounds that do not count."""

Other = Callable[[int], float]
"""Trains for an epoch, whose number it gets, counted from 0; gives the seconds that it took."""


class Alternation(BarReporter):
    """Lets others train for an epoch after each of ours, and times everybody.

    Ours is timed from where the others have ended to the end of the last iteration, bar and all;
    what happens between that and the next epoch has a list of its own.

    Args:
        stream: A terminal.
        session: Ours.
        others: By name.
        wait: Called before each turn: until the other processes are there, where there are some.

    Attributes:
        seconds: Of the iterations of every epoch, by side.
        boundaries: Seconds from the last iteration of an epoch until the reporter hears of it.
    """

    def __init__(
        self,
        stream: TextIO,
        session: Session,
        others: Mapping[str, Other],
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(stream)
        self.session = session
        self.wait = wait
        self.others = list(others.items())
        self.seconds: dict[str, list[float]] = {OURS: [], **{name: [] for name in others}}
        self.boundaries: list[float] = []
        self.began = self.ended = 0.0
        self.left = 0

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        super().stage_started(progress, stages, epochs)
        self.wait()
        self.began = time.perf_counter()

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        assert iterations is not None, "every dataset here has a length"
        self.left = iterations
        super().epoch_started(progress, iterations)

    def iteration_done(self, live: Callable[[], dict[str, float]]) -> None:
        super().iteration_done(live)
        self.left -= 1
        if not self.left:
            if self.session.device.type == "cuda":
                torch.cuda.synchronize()
            self.ended = time.perf_counter()

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self.boundaries.append(time.perf_counter() - self.ended)
        self.seconds[OURS].append(self.ended - self.began)
        super().epoch_finished(progress, row)
        wait_until_written(self.session, progress.step)
        for name, train in self.others:
            self.wait()
            self.seconds[name].append(train(progress.epoch - 1))
        # Nobody is always the first after ours.
        self.others.append(self.others.pop(0))
        self.wait()
        self.began = time.perf_counter()


def timed(call: Callable[..., None], *arguments: Any) -> float:
    """The seconds that a call takes."""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def seconds_of(train: Callable[..., None], *more: Any) -> Other:
    """Times the epochs of a loop; ``more`` comes after the number of the epoch."""
    return lambda epoch: timed(train, epoch, *more)


def wait_until_written(session: Session, step: int) -> None:
    """Wait until the state after a step is on the disk, where every epoch is saved.

    It is written behind the training, and must not be in the way of who comes next.
    """
    if session.progress.epoch % session.spec.checkpoints.every_epochs:
        return
    while int(session.folder.storage.names()[-1].partition("-")[0]) < step:
        time.sleep(0.001)
    time.sleep(0.005)


class Rounds:
    """A session trained in alternation with loops by hand over copies of its models.

    Args:
        config: The config of ours.
        others_of: Gives the others, for a new session and a terminal.

    Attributes:
        seconds: Of the iterations of an epoch, by side, without the rounds that warm up.
        iterations: In an epoch.
        boundaries: See :class:`Alternation`.
        session: Ours, trained.
    """

    def __init__(
        self,
        config: Config,
        others_of: Callable[[Session, TextIO], Mapping[str, Other]],
    ) -> None:
        with tempfile.TemporaryDirectory() as folder, terminal() as stream:
            self.session = create_session(config, Path(folder, "session"), trust=["benchmarks"])
            reporter = Alternation(stream, self.session, others_of(self.session, stream))
            self.session.train(reporter)
        progress = self.session.progress
        self.iterations = progress.step // progress.epoch
        self.seconds = {name: values[WARM_UP:] for name, values in reporter.seconds.items()}
        self.boundaries = reporter.boundaries[WARM_UP:]

    def microseconds(self, side: str) -> list[float]:
        """Per iteration, one value a round."""
        return [seconds / self.iterations * 1e6 for seconds in self.seconds[side]]

    def ratio(self, what: str, other: str, **more: object) -> Figure:
        """Of ours to another side."""
        ours, theirs = self.microseconds(OURS), self.microseconds(other)
        return ratio(what, other, ours, theirs, sides="µs per iteration", **more)


def models_of(session: Session, task: Task) -> list[nn.Module]:
    """Copies of the models of a task."""
    return [copy.deepcopy(session.models[name]) for name in task.names]


def seeds_of(session: Session, pipeline: str = "fit", port: int = 0) -> Callable[[int], int]:
    """The seed of the permutation of an epoch: the loop by hand meets the same batches."""
    order = session.pipelines[pipeline].training_data().ports[port].loader.batch_sampler
    assert order is not None and order.seed is not None, "the loader shuffles"
    seed = order.seed
    return lambda epoch: derived(seed, "order", epoch)


def same(session: Session, names: Sequence[str], modules: Sequence[nn.Module]) -> bool:
    """Whether both have the same weights, bit for bit."""
    return all(
        torch.equal(tensor, module.state_dict()[key])
        for name, module in zip(names, modules, strict=True)
        for key, tensor in session.models[name].state_dict().items()
    )


def against_loops(task: Task, rounds: int, what: str, target: float | None = None) -> list[Figure]:
    """Ours against the loop by hand, without a bar and with one.

    Args:
        task: What is trained.
        rounds: How many count.
        what: For the table.
        target: The most that the ratios should be.
    """
    by_hand: dict[str, ByHand] = {}

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        for name in (BARE, BAR):
            by_hand[name] = ByHand(task, models_of(session, task), seeds_of(session))
        return {
            BARE: seconds_of(by_hand[BARE].epoch),
            BAR: seconds_of(by_hand[BAR].epoch, stream),
        }

    measured = Rounds(task.config(rounds + WARM_UP), others)
    return [
        measured.ratio(
            what,
            name,
            at_most=target,
            identical=same(measured.session, task.names, by_hand[name].modules),
        )
        for name in (BARE, BAR)
    ]


class Turns(BarReporter):
    """Lets a loop by hand train for some epochs after each so many of ours; times both as wholes.

    Ours go on without a break within a turn: what lies between epochs, and what is written behind
    them, is in the time; only what is still written after the last one is waited for in nobody's.

    Args:
        stream: A terminal.
        session: Ours.
        by_hand: Trains for an epoch.
        epochs: Of a turn.

    Attributes:
        seconds: Of ours and of the others, turn by turn.
    """

    def __init__(
        self, stream: TextIO, session: Session, by_hand: Callable[[int], None], epochs: int
    ) -> None:
        super().__init__(stream)
        self.session, self.by_hand, self.turn = session, by_hand, epochs
        self.seconds: list[tuple[float, float]] = []
        self.began = 0.0

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        super().stage_started(progress, stages, epochs)
        self.began = time.perf_counter()

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        super().epoch_finished(progress, row)
        if progress.epoch % self.turn:
            return
        ours = time.perf_counter() - self.began
        wait_until_written(self.session, progress.step)
        began = time.perf_counter()
        for epoch in range(progress.epoch - self.turn, progress.epoch):
            self.by_hand(epoch)
        self.seconds.append((ours, time.perf_counter() - began))
        self.began = time.perf_counter()


def turns(
    config: Config, by_hand_of: Callable[[Session], Callable[[int], None]], epochs: int
) -> tuple[Session, list[tuple[float, float]]]:
    """A session that is trained, and the seconds of so many epochs of it and of a loop by hand."""
    with tempfile.TemporaryDirectory() as folder, terminal() as stream:
        session = create_session(config, Path(folder, "session"), trust=["benchmarks"])
        reporter = Turns(stream, session, by_hand_of(session), epochs)
        session.train(reporter)
    return session, reporter.seconds
