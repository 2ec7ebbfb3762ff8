"""What the configs of tests of stages, buffers and freezing name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset


class NoisyImages(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """What a GAN learns from: image float32 (3, 8, 8), noise (5, 1, 1), a one (1,), a zero (1,)."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(count)
        self.images = torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1
        self.noise = torch.randn(count, 5, 1, 1, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.images[index], self.noise[index], torch.ones(1), torch.zeros(1)


class Queue(nn.Module):
    """x float32 (B, 4) → float32 (B, 4), less the mean of the last rows that it was called with."""

    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("rows", torch.zeros(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.rows.copy_(torch.cat([self.rows, x.detach()])[-6:])
        return self.layer(x) - self.rows.mean(0)


class Decay(Optimizer):
    """Takes a tenth off every weight, whether it has a gradient or not."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(0.9)


class HalfFrozen(nn.Sequential):
    """x float32 (B, 4) → float32 (B, 5); its first layer never learns."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5))
        self[0].requires_grad_(False)
