"""Losses, adapters, processors and transforms with parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Frame = dict[str, Any]


class Centres(nn.Module):
    """How far scores are from the centre of their class (Y. Wen et al., ECCV 2016)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, classes))

    def forward(self, scores: Tensor, y: Tensor) -> Tensor:
        return (scores - self.centres[y]).square().sum(1).mean()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


class ScaledError(Scaled):
    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        return (y_hat * self.scale - y).square().mean()


class InputAdapter(Scaled):
    def forward(self, frame: Frame) -> dict[str, Frame]:
        return {"net": {"x": frame["x"] * self.scale}}


class OutputAdapter(Scaled):
    def forward(self, frame: Frame) -> Frame:
        return {**frame, "y_hat": frame["y_hat"] * self.scale}


class Processor(Scaled):
    def forward(self, frame: Frame) -> Frame:
        return {**frame, "x": frame["x"] * self.scale}


class Holder:
    """No module, but it holds one."""

    def __init__(self) -> None:
        self.held = [Processor()]

    def __call__(self, frame: Any) -> Any:
        return self.held[0](frame)


class Transform(Scaled):
    """Built with the session, as transforms are."""

    def __init__(self, session: Any) -> None:
        super().__init__()

    def forward(self, scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return scores * self.scale, y


def over_weights(session: Any) -> torch.optim.Optimizer:
    """An optimizer that leaves biases out."""
    parameters = session.models["net"].parameters()
    return torch.optim.SGD([p for p in parameters if p.ndim > 1], lr=0.05)
