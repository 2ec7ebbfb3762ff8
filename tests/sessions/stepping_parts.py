"""Optimizers that cannot step, and what cannot be stepped over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Rows:
    """(x () int64, y (1,) float32)."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(index), torch.ones(1)


class Net(nn.Module):
    def __init__(self, sparse: bool = True) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 1, sparse=sparse)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.table(x)
        return result


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return called


class AsksUnseen(torch.optim.SGD):
    @plainly
    def step(self, closure: Any) -> Any:
        return super().step(closure)


class Insists(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return closure()


class Stops(torch.optim.lr_scheduler.LRScheduler):
    def get_lr(self) -> list[float]:
        if self.last_epoch > 1:
            raise ArithmeticError("so far and no further")
        return [0.1]
