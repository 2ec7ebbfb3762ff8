"""Models whose code has ways of its own with parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 8


class Tied(nn.Module):
    """One weight in two layers, there and back."""

    def __init__(self) -> None:
        super().__init__()
        self.there = nn.Linear(4, WIDTH)
        self.back = nn.Linear(WIDTH, 4, bias=False)
        self.back.weight = nn.Parameter(self.back.weight.detach().clone())
        self.again = nn.Linear(WIDTH, 4, bias=False)
        self.again.weight = self.back.weight

    def forward(self, x: Tensor) -> Tensor:
        inner = self.there(x).tanh()
        return self.back(inner) - 2 * self.again(inner)


class Asking(nn.Module):
    """What it is made of depends on the values of a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.factor = 1.0 + self.weight.abs().sum().item()

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight / self.factor


class Deriving(nn.Module):
    """Keeps, where no checkpoint has it, what follows from the first values of a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.begun = [{"largest": self.layer.weight.detach().abs().amax()}]

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) / self.begun[0]["largest"]
