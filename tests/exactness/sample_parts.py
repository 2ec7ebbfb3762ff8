"""What samples are made of: images, labels, words, and a net that knows them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset


class Pictures(Dataset[Any]):
    """Examples: an image (3, 4, 5) float32 of one gray, a number (1,), a word."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, str]:
        return torch.full((3, 4, 5), index / 10), torch.tensor([float(index)]), f"no. {index}"


class Repaints(nn.Module):
    """Images (B, 3, 4, 5) to a number (B, 1), and images whose noise is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(60, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(image.flatten(1)), torch.rand_like(image)


class OwnDraws:
    """A post-processor that draws from a generator of its own, and from the global one."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)

    def __call__(self, columns: dict[str, Any]) -> dict[str, Any]:
        drawn = torch.rand(1, generator=self.generator) + torch.rand(1)
        return {**columns, "drawn": drawn.expand(len(columns["y_hat"]))}


def whole(columns: dict[str, Any]) -> dict[str, Any]:
    """One number and one image for all."""
    return {"mean": columns["y_hat"].mean(), "all": columns["painted"].mean(0)}


def strange(columns: dict[str, Any]) -> dict[str, Any]:
    """Nothing that a file could hold."""
    return {"y_hat": [object() for _ in columns["y_hat"]]}


def indexed(columns: dict[str, Any]) -> dict[str, Any]:
    """What a line says already."""
    return {"index": columns["y_hat"]}


def fails(columns: dict[str, Any]) -> None:
    raise ArithmeticError("no samples today")
