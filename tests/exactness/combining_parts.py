"""What makes one gradient of those of several losses."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn


class PCGrad:
    """Gradient surgery: of each loss's gradient, what conflicts with another one is taken away.

    T. Yu et al., "Gradient Surgery for Multi-Task Learning", 2020. The others are gone through in
    an order that is drawn anew each time.

    Args:
        seed: Of that order.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.conflicts = 0

    def __call__(self, losses: dict[str, Tensor], parameters: list[Tensor]) -> None:
        gradients = []
        for loss in losses.values():
            found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            pairs = zip(parameters, found, strict=True)
            flat = [torch.zeros_like(p) if g is None else g for p, g in pairs]
            gradients.append(torch.cat([gradient.flatten() for gradient in flat]))
        total = torch.zeros_like(gradients[0])
        for own in gradients:
            projected, others = own.clone(), list(gradients)
            self.random.shuffle(others)
            for other in others:
                product = projected.dot(other)
                if product < 0:
                    self.conflicts += 1
                    projected -= product / other.dot(other) * other
            total += projected
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, piece in zip(parameters, total.split(sizes), strict=True):
            parameter.grad = piece.view_as(parameter).clone()

    def state_dict(self) -> dict[str, Any]:
        return {"conflicts": self.conflicts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.conflicts = state["conflicts"]


def summed(losses: dict[str, Tensor], parameters: list[Tensor]) -> None:
    """As without it."""
    total: Any = sum(losses.values())
    total.backward()


def forgets(losses: dict[str, Tensor], parameters: list[Tensor]) -> None:
    """Leaves no gradient."""


def raises(losses: dict[str, Tensor], parameters: list[Tensor]) -> None:
    raise ArithmeticError("so much conflict")


class TwoTasks(nn.Module):
    """A stem with two heads: (B, 4) → (B, 1) and (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2))
        self.one = nn.Linear(6, 1)
        self.two = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.stem(x)
        return self.one(h), self.two(h)


class Opposed(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
    """x (4,), and two targets (1,) that pull the stem apart."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(2)
        self.x = torch.randn(count, 4, generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        x = self.x[index]
        return x, x.sum(0, keepdim=True), -2 * x.sum(0, keepdim=True) + x[:1]


class WithNan(Opposed):
    """Twelve points, of which the second four are not finite."""

    def __init__(self) -> None:
        super().__init__(12)
        self.x[4:8] = torch.nan
