"""Datasets that write down which examples they make, for the tests of caches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset
from toys import Jittered, Points

SCALE = 1.0


class Counted(Points):
    """Points; a line a made example goes to a file, with the process that made it."""

    def __init__(self, count: int = 40, log: str = "made.txt", slowness: float = 0.0) -> None:
        super().__init__(count, slowness)
        self.log = log

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        note(self.log, index)
        x, target = super().__getitem__(index)
        return SCALE * x, target


class CountedJitter(Jittered):
    """The same with noise."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        note("made.txt", index)
        return super().__getitem__(index)


class Keeping(Counted):
    """Keeps a generator that it does not draw from."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)


class Streamed(IterableDataset[Any]):
    """Points one after the other."""

    def __iter__(self) -> Iterator[Any]:
        yield from map(Points().__getitem__, range(40))


class FromFile:
    """Points of a text file, and an offset from a file that no argument names."""

    def __init__(self, path: str) -> None:
        self.rows = [[float(n) for n in line.split()] for line in Path(path).read_text().split(";")]
        offset = Path("offset.txt")
        self.offset = float(offset.read_text()) if offset.exists() else 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        note("made.txt", index)
        x = torch.tensor(self.rows[index]) + self.offset
        return x, x.sum().reshape(1)


class Drawn(Counted):
    """Points that are drawn when the dataset is built."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.randn(40, 2)


class Scaled:
    """A preprocessor that learns a factor from the data."""

    def __init__(self, power: float = 1.0) -> None:
        self.power = power
        self.factor = 1.0

    def fit(self, dataset: Any) -> None:
        rows = torch.stack([dataset[index][0] for index in range(len(dataset))])
        self.factor = float(rows.std()) ** self.power

    def process(self, value: torch.Tensor) -> torch.Tensor:
        return value / self.factor


def note(log: str, index: int) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {index}\n")
