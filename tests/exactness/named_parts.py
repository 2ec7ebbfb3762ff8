"""Models, losses and metrics whose arguments and results go by name."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss


class ModelOutput(OrderedDict[str, Any]):
    """A dict that is no plain one, as libraries of transformers return it."""


@dataclass
class Result:
    """The same as a dataclass."""

    logits: Tensor
    hidden: Tensor
    loss: Tensor | None = None


class Pair(NamedTuple):
    """The same as a named tuple."""

    logits: Tensor
    hidden: Tensor


class Transformer(nn.Module):
    """tokens float32 (B, 4), a bias (B, 1) → logits (B, 1) and hidden (B, 5), by name."""

    def __init__(self, gives: str = "dict") -> None:
        super().__init__()
        self.gives = gives
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, 1)

    def forward(self, input_ids: Tensor, scale: float = 1.0, *, bias: Tensor) -> Any:
        hidden = self.body(input_ids).tanh() * scale
        logits = self.head(hidden) + 0.1 * bias
        if self.gives == "dataclass":
            return Result(logits, hidden)
        if self.gives == "named tuple":
            return Pair(logits, hidden)
        if self.gives == "tuple":
            return logits, hidden
        kind = ModelOutput if self.gives == "ModelOutput" else dict
        return kind(loss=None, logits=logits, hidden=hidden)


def weighted_error(*, wanted: Tensor, found: Tensor, weight: float = 1.0) -> Tensor:
    """A loss all of whose arguments go by keyword."""
    return weight * mse_loss(found, wanted)


class CountedError(nn.Module):
    """The same with a count of its own."""

    def forward(self, *, wanted: Tensor, found: Tensor) -> Tensor:
        return mse_loss(found, wanted)

    def count(self, *, wanted: Tensor, found: Tensor) -> int:
        return wanted.numel()


class LargestError:
    """A metric whose arguments go by keyword."""

    def reset(self) -> None:
        self.largest = torch.zeros(())

    def update(self, *, wanted: Tensor, found: Tensor) -> None:
        self.largest = torch.maximum(self.largest, (wanted - found).abs().max())

    def compute(self) -> Tensor:
        return self.largest


def swapped(*, target: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """A transform whose arguments go by keyword."""
    return found, target
