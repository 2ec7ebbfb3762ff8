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


class Pictures(Dataset[tuple[Tensor, int]]):
    """image float32 (3, 8, 8), label: which of three channels is the brightest."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.rand(count, 3, 8, 8, generator=generator)
        self.labels = [index % 3 for index in range(count)]
        for image, label in zip(self.images, self.labels, strict=True):
            image[label] += 0.3

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.labels[index]


def overlaid(images: Tensor, labels: Tensor, wrong: bool) -> Tensor:
    """Images, float32 (B, 1, S, S), whose first ten pixels say a label, or one that is wrong."""
    flat = images.flatten(1).clone()
    flat[:, :10] = 0
    flat[torch.arange(len(flat)), (labels + 1) % 10 if wrong else labels] = flat.max()
    return flat


class Overlaid(Dataset[tuple[Tensor, Tensor]]):
    """Digits for forward-forward: positive and negative examples, float32 (64,) each."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(count)
        images = torch.rand(count, 1, 8, 8, generator=generator)
        labels = torch.arange(count) % 10
        self.positive = overlaid(images, labels, wrong=False)
        self.negative = overlaid(images, labels, wrong=True)

    def __len__(self) -> int:
        return len(self.positive)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.positive[index], self.negative[index]


class ForwardLayer(nn.Linear):
    """A layer that learns by itself: x float32 (B, inputs) → float32 (B, outputs), x normalised.

    No gradient leaves it for what stands before it.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach()
        return super().forward(x / (x.norm(2, 1, keepdim=True) + 1e-4)).relu()


class Goodness(nn.Module):
    """Activities (B, width) of positive and of negative examples, above and below a threshold."""

    def __init__(self, threshold: float = 2.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, positive: Tensor, negative: Tensor) -> Tensor:
        good, bad = positive.pow(2).mean(1), negative.pow(2).mean(1)
        both = torch.cat([-good + self.threshold, bad - self.threshold])
        return (1 + both.exp()).log().mean()


class Weighing(nn.Module):
    """A mean squared error times a weight that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.weight * (prediction - target).pow(2).mean()
