"""What the configs of the tests of cuts within an epoch name: everything that keeps something."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exact_parts import Points
from torch import Tensor, nn
from torch.utils.data import IterableDataset, default_collate, get_worker_info

Example = tuple[Tensor, Tensor]


def noise_of_all() -> float:
    """One number from each of the global generators, added up."""
    return float(torch.randn(())) + np.random.normal() + random.gauss(0, 1)


class OwnNoise:
    """Generators of every kind, in attributes, in a list and in a dict."""

    def __init__(self) -> None:
        self.torch = torch.Generator().manual_seed(3)
        self.several = [np.random.default_rng(4), np.random.RandomState(5)]
        self.named = {"python": random.Random(6)}

    def draw(self) -> float:
        numbers = [float(one.normal()) for one in self.several]
        numbers += [float(torch.randn((), generator=self.torch)), self.named["python"].random()]
        return sum(numbers)


class Jittered(Points):
    """Noise from the global generators."""

    def __getitem__(self, index: int) -> Example:
        x, y = super().__getitem__(index)
        return x + 0.1 * noise_of_all(), y


class OwnJittered(Points):
    """Noise from the global generators, and from generators that the dataset keeps."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.noise = OwnNoise()

    def __getitem__(self, index: int) -> Example:
        x, y = super().__getitem__(index)
        return x + 0.1 * noise_of_all() + 0.1 * self.noise.draw(), y


def jittered(x: Tensor) -> Tensor:
    """Noise from torch's global generator."""
    return x + 0.1 * torch.randn(())


class Mixed:
    """Noise in both columns, from all generators and its own, and what it counts and tells."""

    def __init__(self) -> None:
        self.noise = OwnNoise()
        self.calls = 0

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        noise = 0.1 * (self.noise.draw() + noise_of_all())
        return x + noise, y - noise

    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


class OwnCollator:
    """Noise from the global generators, and from a generator that the collator keeps."""

    def __init__(self) -> None:
        self.noise = OwnNoise()

    def __call__(self, examples: list[Example]) -> list[Tensor]:
        x, y = default_collate(examples)
        return [x + 0.1 * noise_of_all() + 0.1 * self.noise.draw(), y]


class WholeBatches(OwnJittered):
    """Batches of three, ready as they are; the last one is smaller."""

    def __len__(self) -> int:
        return -(-len(self.x) // 3)

    def __getitem__(self, index: int) -> Example:
        if index >= len(self):
            raise IndexError(index)
        examples = [super(WholeBatches, self).__getitem__(i) for i in self._indices(index)]
        x, y = default_collate(examples)
        return x, y

    def _indices(self, index: int) -> range:
        return range(3 * index, min(3 * index + 3, len(self.x)))


class Stream(IterableDataset[Example]):
    """Points that can only be iterated over, shared among the workers, with noise of all kinds."""

    def __init__(self, count: int) -> None:
        self.points = Points(count)
        self.noise = OwnNoise()

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        for index in range(first, len(self.points), step):
            x, y = self.points[index]
            yield x + 0.1 * noise_of_all() + 0.1 * self.noise.draw(), y


class Recorded(Points):
    """Appends the index of every example that is loaded to a file."""

    def __init__(self, count: int, path: str) -> None:
        super().__init__(count)
        self.path = Path(path)

    def __getitem__(self, index: int) -> Example:
        with self.path.open("a") as file:
            file.write(f"{index}\n")
        return super().__getitem__(index)


class Marching:
    """A sampler that counts its passes, draws from a generator of its own and a global one."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.passes = 0
        self.own = torch.Generator().manual_seed(8)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        order = torch.randperm(self.count, generator=self.own).tolist()
        shift = int(torch.randint(self.count, ()))
        for index in order:
            yield (index * (self.passes % 2 or 1) + shift) % self.count


class Noised(nn.Module):
    """Multiplies by noise from a generator of its own, in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.own = torch.Generator().manual_seed(9)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * (1 + 0.3 * torch.randn(x.shape, generator=self.own))
        return self.layer(x)


class Fading(nn.Module):
    """Has a buffer that torch leaves out of its state_dict, and that every call changes."""

    strength: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.register_buffer("strength", torch.ones(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.strength *= 0.9
        return self.layer(x) * self.strength


class Growing(nn.Module):
    """Has a buffer outside its state_dict that is another tensor, and longer, after every call."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.register_buffer("seen", torch.zeros(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen = torch.cat([self.seen, x.detach().mean().reshape(1)])
        return self.layer(x) + self.seen.sum()


class Counter:
    """A dataset that says itself what it keeps: how many examples it has given."""

    def __init__(self, count: int) -> None:
        self.points = Points(count)
        self.given = count_from(0)
        self.number = 0

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Example:
        self.number = next(self.given)
        x, y = self.points[index]
        return x + 0.01 * self.number, y

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]
        self.given = count_from(self.number + 1)


def count_from(number: int) -> Iterator[int]:
    return count(number)
