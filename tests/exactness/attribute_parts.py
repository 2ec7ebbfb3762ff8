"""Models with widths that others have to know, for ``test_attributes``."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """x float32 (B, 4) → features float32 (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Linear(4, width)
        self.out_channels = width
        self.sizes = [width, 1]
        self._hidden = width

    @property
    def broken(self) -> int:
        """Raises."""
        raise ValueError("not today")

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.body(x))


class Sized:
    """A loss that keeps what it is given."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __call__(self, said: Tensor, y: Tensor) -> Tensor:
        return (said - y).square().mean()
