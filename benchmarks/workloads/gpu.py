"""On a CUDA device, data on the device: throughput beside a loop by hand that is tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TextIO

import torch
from torch import nn

from benchmarks.alternation import OURS, WARM_UP, Other, Rounds, models_of, seconds_of, seeds_of
from benchmarks.figures import Figure, ratio
from benchmarks.plain import shuffled
from benchmarks.tasks import Task, built, made, part
from torchassistant.session import Session

DEVICE = "cuda"
TUNED = "a loop by hand: bf16 autocast, torch.compile, fused AdamW"
EAGER = "a loop by hand: float32, fused Adam, nothing read before the epoch ends"
COMPILING = 2
"""Further rounds that warm up: what is compiled may be compiled again for what it has met."""


def missing() -> str | None:
    """Why it cannot be measured here."""
    return None if torch.cuda.is_available() else "there is no CUDA device"


def measure(quick: bool) -> list[Figure]:
    """Where arithmetic takes the time, and where launching it does."""
    batches, rounds = (8, 2) if quick else (60, 8)
    return [
        _throughput("ResNet-50, bf16", resnet50(batches), rounds, True, TUNED, 0.98),
        _throughput("a transformer like GPT-2", transformer(batches), rounds, True, TUNED, 0.98),
        _throughput("LeNet-5, float32", lenet5(batches * 10), rounds, False, EAGER, 1.0),
    ]


def resnet50(batches: int) -> Task:
    """Images in the sizes of ImageNet, in the layout that tensor cores prefer."""
    data = made("benchmarks.gpu_parts.Images", batches, [128, 3, 224, 224], 1000, DEVICE, True)
    model = {**made("torchvision.models.resnet50"), "memory_format": "channels_last"}
    return _compiled(data, model)


def transformer(batches: int) -> Task:
    """124 M parameters, 8 texts of 1024 tokens a batch."""
    data = made("benchmarks.gpu_parts.Texts", batches, [8, 1024], 50304, DEVICE)
    return _compiled(data, made("benchmarks.gpu_parts.Transformer"))


def lenet5(batches: int) -> Task:
    """So small that the device waits for Python."""
    data = made("benchmarks.gpu_parts.Images", batches, [32, 1, 28, 28], 10, DEVICE, False)
    return Task(
        data,
        [part("LeNet5")],
        loss="CrossEntropyLoss",
        kwargs={"lr": 0.001, "fused": True},
        batch_size=None,
    )


def _compiled(data: dict[str, Any], model: dict[str, Any]) -> Task:
    return Task(
        data,
        [model],
        loss="CrossEntropyLoss",
        optimizer="AdamW",
        kwargs={"lr": 1e-4, "fused": True},
        batch_size=None,
        node={"compile": True},
    )


def _throughput(
    what: str, task: Task, rounds: int, tuned: bool, against: str, target: float
) -> Figure:
    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        model = models_of(session, task)[0]
        return {against: seconds_of(Tuned(task, model, seeds_of(session), tuned).epoch)}

    top = {"device": DEVICE, **({"precision": "bf16"} if tuned else {})}
    measured = Rounds(task.config(rounds + WARM_UP + COMPILING, **top), others)
    rates = {side: [1e6 / us for us in measured.microseconds(side)] for side in (OURS, against)}
    ours, theirs = (rates[side][COMPILING:] for side in (OURS, against))
    figure = ratio(what, against, ours, theirs, sides="batches per second")
    return replace(figure, at_least=target)


class Tuned:
    """The loop by hand.

    Args:
        task: What is trained.
        module: On the device, in the layout that the task asks for.
        seed_of: The seed of an epoch's permutation.
        tuned: Whether it computes in bf16, compiled.
    """

    def __init__(
        self, task: Task, module: nn.Module, seed_of: Callable[[int], int], tuned: bool
    ) -> None:
        optimizer = {"class": f"torch.optim.{task.optimizer}", "kwargs": task.kwargs}
        self.optimizer = built(optimizer, module.parameters())
        self.model: Any = torch.compile(module) if tuned else module
        self.criterion = built({"class": f"torch.nn.{task.loss}"})
        self.batches = shuffled(built(task.dataset), task.batch_size, seed_of)
        self.tuned = tuned

    def epoch(self, epoch: int) -> None:
        """Train for an epoch, and wait until the device has done it."""
        for x, y in self.batches(epoch):
            with torch.autocast(DEVICE, torch.bfloat16, enabled=self.tuned):
                loss = self.criterion(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        torch.cuda.synchronize()
