"""Whole epochs: iterations, what lies between them, and the checkpoint written behind."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.alternation import models_of, same, seeds_of, turns
from benchmarks.figures import Figure, Spread
from benchmarks.plain import ByHand
from benchmarks.tasks import Config, Task, lenet, nodes, one_layer
from benchmarks.workloads.gan import GanByHand
from benchmarks.workloads.gan import config as gan_config
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant.session import Session

LOOP = "the bare loop by hand, which saves nothing"
BATCH = 32
LENGTHS = (50, 1_000, 20_000)
_LONGEST = 30_000
"""Milliseconds of the longest epoch that is measured; of those several are needed."""


@dataclass(frozen=True)
class Loop:
    """A loop by hand.

    Args:
        epoch: Trains for an epoch.
        modules: What it trains, by the names of the session's models.
    """

    epoch: Callable[[int], None]
    modules: Mapping[str, nn.Module]


@dataclass(frozen=True)
class Work:
    """What is trained for epochs of a certain length.

    Args:
        config: Of so many iterations an epoch, and so many epochs.
        by_hand: The loop beside a new session, for so many iterations an epoch.
        milliseconds: Roughly, of an iteration: how long a turn takes follows from it.
    """

    config: Callable[[int, int], Config]
    by_hand: Callable[[Session, int], Loop]
    milliseconds: float


def measure(quick: bool) -> list[Figure]:
    """One layer, ten nodes, a GAN and LeNet-5, at up to three lengths of an epoch."""
    lengths = (5, 10) if quick else LENGTHS
    seconds = 0.1 if quick else 20.0
    with tempfile.TemporaryDirectory() as folder:
        return [
            figure
            for name, work in _works(Path(folder)).items()
            for length in lengths
            if length * work.milliseconds <= _LONGEST
            for figure in _measured(name, work, length, seconds)
        ]


def _works(folder: Path) -> Mapping[str, Work]:
    return {
        "one layer": _of_task(lambda length: one_layer(length * BATCH), 0.4),
        "ten nodes": _of_task(lambda length: nodes(10, length * BATCH), 2.5),
        "GAN": Work(lambda length, epochs: gan_config(length * BATCH, epochs), _gan, 1.2),
        "LeNet-5": _of_task(lambda length: lenet(_mnist(folder, length)), 6.0),
    }


def _of_task(task_of: Callable[[int], Task], milliseconds: float) -> Work:
    def by_hand(session: Session, length: int) -> Loop:
        task = task_of(length)
        loop = ByHand(task, models_of(session, task), seeds_of(session))
        return Loop(loop.epoch, dict(zip(task.names, loop.modules, strict=True)))

    def config(length: int, epochs: int) -> Config:
        return task_of(length).config(epochs)

    return Work(config, by_hand, milliseconds)


def _gan(session: Session, length: int) -> Loop:
    loop = GanByHand(session, length * BATCH)
    return Loop(loop.epoch, loop.models)


def _mnist(folder: Path, length: int) -> str:
    """A folder with so many batches of images."""
    place = folder / str(length)
    if not place.exists():
        write_mnist(place, length * BATCH)
    return str(place)


def _measured(name: str, work: Work, length: int, seconds: float) -> list[Figure]:
    """The ratio of whole epochs, and what one costs beyond the loop's."""
    epoch = length * work.milliseconds / 1e3
    # A turn is long enough for the clock, and what is written behind stays behind.
    each = max(1, math.ceil(0.5 / epoch)) if seconds > 1 else 1
    rounds = min(max(math.ceil(seconds / 2 / (each * epoch)), 3), 30)
    loops: list[Loop] = []

    def beside(session: Session) -> Callable[[int], None]:
        loops.append(work.by_hand(session, length))
        return loops[0].epoch

    session, seconds_of_turns = turns(work.config(length, each * (rounds + 1)), beside, each)
    pairs = [(ours / each, theirs / each) for ours, theirs in seconds_of_turns[1:]]
    modules = loops[0].modules
    identical = same(session, list(modules), list(modules.values()))
    what = f"{name}, an epoch of {length:,} iterations"
    medians: dict[str, Any] = {
        "ours": Spread.of(ours * 1e3 for ours, _ in pairs).median,
        "theirs": Spread.of(theirs * 1e3 for _, theirs in pairs).median,
        "sides": "ms",
        "identical": identical,
    }
    ratios = Spread.of(ours / theirs for ours, theirs in pairs)
    beyond = Spread.of((ours - theirs) * 1e3 for ours, theirs in pairs)
    figures = [Figure(what=what, against=LOOP, spread=ratios, at_most=1.0, **medians)]
    if length == min(LENGTHS):
        more = f"{what}, beyond the loop"
        figures.append(
            Figure(what=more, against=LOOP, spread=beyond, unit="ms", at_most=5.0, **medians)
        )
    return figures
