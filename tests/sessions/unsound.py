"""What the configs of the tests of non-finite numbers name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.utils.data import IterableDataset
from toys import Points

Example = tuple[torch.Tensor, torch.Tensor]


class Spoilt(Points):
    """Points of which some examples are not as they should be.

    Args:
        bad: Indices of those.
        x: What every number of their x is, as text; None leaves it.
        y: What their target is; likewise.
        without: Indices that are not in the dataset at all.
    """

    def __init__(
        self,
        count: int = 24,
        bad: Sequence[int] = (),
        x: str | None = None,
        y: str | None = None,
        without: Sequence[int] = (),
    ) -> None:
        super().__init__(count)
        self.bad = set(bad)
        self.x_of_bad, self.y_of_bad = x, y
        self.order = [index for index in range(count) if index not in set(without)]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Example:
        x, y = super().__getitem__(self.order[index])
        if index in self.bad:
            x = x if self.x_of_bad is None else torch.full_like(x, float(self.x_of_bad))
            y = y if self.y_of_bad is None else torch.full_like(y, float(self.y_of_bad))
        return x, y


class Flowing(IterableDataset[Example]):
    """The same, read in its order only."""

    def __init__(self, count: int, bad: Sequence[int], x: str) -> None:
        self.points = Spoilt(count, bad, x)

    def __iter__(self) -> Iterator[Example]:
        yield from (self.points[index] for index in range(len(self.points)))


class Rooted(nn.Module):
    """(B, 2) → (B, 1); where x is 0, the value is finite and its gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 1)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        root = (self.scale * x.square().sum(1, keepdim=True)).sqrt()
        return self.head(self.norm(self.layer(x)).tanh()) + 0.1 * root


class Averaging(nn.Module):
    """Has a buffer that every call replaces by another tensor, which follows the inputs."""

    average: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.register_buffer("average", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)
        return self.layer(x - self.average)


class Centred(nn.Module):
    """A loss with a state: squared differences from a running mean difference."""

    centre: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(()))

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        difference = prediction - target
        if self.training:
            self.centre.mul_(0.9).add_(0.1 * difference.detach().mean())
        return (difference - self.centre).square().mean()
