"""Losses that give dicts, for ``test_losses_by_key``."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import mse_loss


def two(said, y):  # type: ignore[no-untyped-def]
    """An error and a penalty."""
    return {"error": mse_loss(said, y), "size": 0.1 * said.square().mean(), "bias": said.mean()}


class Drifting:
    """Gives another key, or one number, after some calls."""

    def __init__(self, calls: int, number: bool = False) -> None:
        self.calls, self.number = calls, number

    def __call__(self, said: Tensor, y: Tensor) -> Any:
        self.calls -= 1
        if self.calls >= 0:
            return {"error": mse_loss(said, y)}
        return mse_loss(said, y) if self.number else {"mistake": mse_loss(said, y)}


class Halves(nn.Module):
    """The errors where the target is positive, and where it is not, each with its own count."""

    def forward(self, said: Tensor, y: Tensor) -> dict[str, Tensor]:
        squares, up = (said - y).square(), y > 0
        counts = self.count(said, y)
        return {
            "up": (squares * up).sum() / counts["up"].clamp(min=1),
            "down": (squares * ~up).sum() / counts["down"].clamp(min=1),
        }

    def count(self, said: Tensor, y: Tensor) -> dict[str, Tensor]:
        """How many there are of each."""
        return {"up": (y > 0).sum(), "down": (y <= 0).sum()}


class Infinite:
    """One of its values is infinite."""

    def __call__(self, said: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"fine": mse_loss(said, y), "wrong": mse_loss(said, y) / 0}


def count_of(said: Tensor, y: Tensor) -> int:
    """One number for all keys."""
    return len(y)
