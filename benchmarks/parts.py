"""What the configs of the benchmarks name: datasets and models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from torchassistant.callbacks import Callback, IterationEndEvent


class Examples(Dataset[tuple[Tensor, Tensor]]):
    """Regression, example by example: x float32 (features,), y float32 (targets,)."""

    def __init__(self, count: int, features: int, targets: int = 1) -> None:
        self.x, self.y = tensors(count, features, targets)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Listens(Callback):
    """Hears of every iteration, and does nothing."""

    def on_iteration_end(self, event: IterationEndEvent) -> None:
        """Nothing."""


class Watched(Examples):
    """The same examples; whoever listens hears whenever one is asked for."""

    listener: Callable[[], None] | None = None

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.listener is not None:
            self.listener()
        return super().__getitem__(index)


def tensor_examples(session: object, count: int, features: int, targets: int = 1) -> TensorDataset:
    """The same examples as one of torch's own datasets."""
    return TensorDataset(*tensors(count, features, targets))


def tensors(count: int, features: int, targets: int) -> tuple[Tensor, Tensor]:
    """x float32 (count, features) and y float32 (count, targets), the same every time."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, features, generator=generator)
    return x, x[:, :1].sin().repeat(1, targets)


class Labelled(Dataset[tuple[Tensor, Tensor]]):
    """Noise that stays, and the same label for all of it: float32 (features,), float32 (1,)."""

    def __init__(self, count: int, features: int, label: float) -> None:
        self.x = tensors(count, features, 1)[0]
        self.label = torch.tensor([label])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.label


class Perceptron(nn.Sequential):
    """A layer of 64 in between: float32 (B, features) → float32 (B, targets)."""

    def __init__(self, features: int, targets: int) -> None:
        super().__init__(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, targets))


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al., 1998): images float32 (B, 1, 28, 28) → logits float32 (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.AvgPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(torch.tanh(self.conv1(images)))
        x = self.pool(torch.tanh(self.conv2(x)))
        x = torch.tanh(self.fc1(x.flatten(1)))
        return self.fc3(torch.tanh(self.fc2(x)))


class Layers(nn.Sequential):
    """So many linear layers in a row: float32 (B, width) → float32 (B, width)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(*(nn.Linear(width, width) for _ in range(count)))


class Block(nn.Sequential):
    """One node of a chain: float32 (B, features) → float32 (B, targets)."""

    def __init__(self, features: int, targets: int) -> None:
        super().__init__(nn.Linear(features, targets), nn.ReLU())


class Ending(nn.Linear):
    """Ends the process at its first forward: how long it took to come there is what counts."""

    def forward(self, x: Tensor) -> Tensor:
        os._exit(0)


def chained(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    """One module after the other."""
    for module in modules:
        x = module(x)
    return x
