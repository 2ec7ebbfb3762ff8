"""What the stages of these tests run before each epoch."""

from __future__ import annotations

from typing import Any, ClassVar

import torch


def shake(session: Any, epoch: int) -> None:
    """Add the number of the epoch, and noise, to a weight."""
    with torch.no_grad():
        weight = session.models["net"].weight
        weight.add_(0.01 * epoch * torch.rand(weight.shape))


class Shrink:
    """Multiplies a weight."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, session: Any, epoch: int) -> None:
        with torch.no_grad():
            session.models["net"].weight.mul_(self.factor)


class Noted:
    """An output adapter that keeps what comes by."""

    seen: ClassVar[list[tuple[int, bool]]] = []

    def __call__(self, frame: Any) -> Any:
        self.seen.append((len(frame["x"]), torch.is_grad_enabled()))
        return frame


def fail(session: Any, epoch: int) -> None:
    """Raise in the second epoch."""
    if epoch == 2:
        raise RuntimeError("not now")
