"""What it costs to keep an exponential moving average of a model up to date."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.figures import Figure, ratio
from benchmarks.parts import Layers, LeNet5
from torchassistant.training import Average, Averaging

DECAY = 0.999
AGAINST = "torch._foreach_lerp_ by hand"


def measure(quick: bool) -> list[Figure]:
    """An update after each step, for few tensors and for many."""
    rounds, updates = (2, 3) if quick else (40, 200)
    models = {"LeNet-5": LeNet5(), "300 small layers": Layers(300, 16)}
    return [_measured(shown, model, rounds, updates) for shown, model in models.items()]


def _measured(shown: str, model: nn.Module, rounds: int, updates: int) -> Figure:
    ours, theirs = _ours(model), _by_hand(model)
    pairs = [(_seconds(ours, updates), _seconds(theirs, updates)) for _ in range(rounds + 1)]
    # The first pair warms up.
    mine, others = ([pair[side] for pair in pairs[1:]] for side in (0, 1))
    return ratio(f"update of an average, {shown}", AGAINST, mine, others, sides="s")


def _ours(model: nn.Module) -> Callable[[], None]:
    averaged = copy.deepcopy(model).requires_grad_(False)
    average = Average("average", averaged, model, Averaging(decay=DECAY))
    average.prepare()
    return average.count


def _by_hand(model: nn.Module) -> Callable[[], None]:
    averaged = list(copy.deepcopy(model).requires_grad_(False).parameters())
    current = [parameter.detach() for parameter in model.parameters()]

    def update() -> None:
        with torch.no_grad():
            torch._foreach_lerp_(averaged, current, 1 - DECAY)

    return update


def _seconds(update: Callable[[], None], updates: int) -> float:
    began = time.perf_counter()
    for _ in range(updates):
        update()
    return time.perf_counter() - began
