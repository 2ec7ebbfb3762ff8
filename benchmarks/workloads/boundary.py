"""From the last iteration of an epoch to the first example of the next, 100 M parameters."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from torch import nn

from benchmarks.alternation import wait_until_written
from benchmarks.figures import Figure, Spread
from benchmarks.tasks import Task, part
from benchmarks.terminal import terminal
from torchassistant import create_session
from torchassistant.session import Session
from torchassistant.training.progress_bar import BarReporter

NEVER = 10**6
ITERATIONS = 2
AGAINST = "nothing; the copy is a clone of every parameter"


def measure(quick: bool) -> list[Figure]:
    """A few large tensors and many small ones, with a checkpoint due and without."""
    rounds, scale = (2, 16) if quick else (8, 1)
    large = part("Layers", 6, 4096 // scale)
    small = part("Layers", 300, 576 // scale)
    figures = []
    for shown, model in [("12 large tensors", large), ("600 small tensors", small)]:
        width = model["args"][1]
        data = part("Watched", ITERATIONS, width, width)
        task = Task(data, [model], optimizer="SGD", kwargs={"lr": 1e-4}, batch_size=1)
        for due in (False, True):
            figures.append(_measured(task, shown, due, rounds))
    return figures


def _measured(task: Task, shown: str, due: bool, rounds: int) -> Figure:
    config = task.config(rounds + 2, checkpoints={"every_epochs": 1 if due else NEVER})
    with tempfile.TemporaryDirectory() as folder, terminal() as stream:
        session = create_session(config, Path(folder, "session"), trust=["benchmarks"])
        reporter = Boundaries(stream, session)
        session.train(reporter)
    # The first boundary warms up.
    gaps, copies = reporter.gaps[1:], reporter.copies[1:]
    over = [gap - copy if due else gap for gap, copy in zip(gaps, copies, strict=True)]
    what = f"between epochs, {shown}, " + (
        "over a checkpoint's copy" if due else "no checkpoint due"
    )
    figure = Figure(what=what, against=AGAINST, spread=Spread.of(over), unit="ms", at_most=5.0)
    return replace(
        figure,
        ours=Spread.of(gaps).median,
        theirs=Spread.of(copies).median if due else None,
        sides="ms",
    )


class Boundaries(BarReporter):
    """Times the gaps between epochs, and a copy of the parameters beside each.

    Attributes:
        gaps: Milliseconds from the end of an epoch's last iteration until an example is asked for.
        copies: Milliseconds that a copy takes.
    """

    def __init__(self, stream: TextIO, session: Session) -> None:
        super().__init__(stream)
        self.session = session
        self.model = session.models["model_0"]
        session.datasets["examples"].listener = self._asked
        self.gaps: list[float] = []
        self.copies: list[float] = []
        self.done = 0
        self.ended = 0.0

    def _asked(self) -> None:
        if self.done == ITERATIONS:
            self.gaps.append((time.perf_counter() - self.ended) * 1e3)
            self.done = 0

    def iteration_done(self, live: Callable[[], dict[str, float]]) -> None:
        if self.done == 0 and self.gaps:
            # The state of the epoch before is written behind; the next is not to wait for it.
            wait_until_written(self.session, self.session.progress.step - 1)
            self.copies.append(_copying(self.model))
        super().iteration_done(live)
        self.done += 1
        self.ended = time.perf_counter()


def _copying(model: nn.Module) -> float:
    """The milliseconds of a copy; to free it afterwards is not counted."""
    began = time.perf_counter()
    copied = [tensor.detach().clone() for tensor in model.parameters()]
    milliseconds = (time.perf_counter() - began) * 1e3
    del copied
    return milliseconds
