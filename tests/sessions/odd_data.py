"""Data of which one example is not like the others, and a stream that lies about its length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset

COUNT = 11
ODD: dict[str, Any] = {
    "None": None,
    "text": "oops",
    "number": 1.0,
    "longer": torch.ones(3),
    "deeper": torch.ones(1, 2),
    "list": [1.0, 2.0],
    "double": torch.ones(2, dtype=torch.float64),
    "dict": {"a": 1},
    "object": object(),
    "bytes": b"1",
}


class Rows:
    """Examples x (2,), y (1,), all float32; the one at ``at`` is odd in some way."""

    def __init__(self, odd: str, column: int = 0, at: int = 9) -> None:
        self.odd = odd
        self.column = column
        self.at = at

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        row = [torch.full((2,), float(index)), torch.tensor([float(index)])]
        if index != self.at:
            return tuple(row)
        if self.odd == "raises":
            raise LookupError("it cannot be read")
        if self.odd == "whole":
            return None
        if self.odd == "one column more":
            return (*row, row[0])
        row[self.column] = ODD[self.odd]
        return tuple(row)


class Classes(Rows):
    """Examples x (2,) and a class, one of three but for the odd one's."""

    def __getitem__(self, index: int) -> Any:
        return torch.full((2,), float(index)), torch.tensor(7 if index == self.at else index % 3)


class Named(Rows):
    """The same as dicts; ``odd`` may be ``lacking``."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.at and self.odd == "lacking":
            return {"x": torch.zeros(2), "note": "no y"}
        x, y = super().__getitem__(index)
        return {"x": x, "y": y, "note": f"row {index}"}


class Texts:
    """Texts and targets; one text is missing."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[str | None, torch.Tensor]:
        return (None if index == 9 else f"word {index}"), torch.zeros(1)


class Remarks(Rows):
    """With a column that is a remark, or None: nothing is odd about that."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x, y, None if index % 3 else "remarkable", [1] * index


class StreamOfRows(IterableDataset[Any]):
    """The same one after the other, and what it says of its length."""

    def __init__(self, odd: str = "None", at: int = -1, claimed: int = COUNT) -> None:
        self.rows = Rows(odd, at=at)
        self.claimed = claimed

    def __len__(self) -> int:
        return self.claimed

    def __iter__(self) -> Iterator[Any]:
        return (self.rows[index] for index in range(COUNT))


class Doubled:
    """A preprocessor."""

    def process(self, value: Any) -> Any:
        return value * 2.0


class Stacked:
    """A collator that knows no exception."""

    def __call__(self, rows: list[Any]) -> list[torch.Tensor]:
        return [torch.stack(column) for column in zip(*rows, strict=True)]


class Reading(torch.nn.Module):
    """A model of texts."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: list[str]) -> torch.Tensor:
        return self.layer(torch.tensor([[float(len(text.split()))] for text in x]))


class Pooling(torch.nn.Module):
    """A model of vectors of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.mean(dim=1, keepdim=True))


class Unlucky(torch.nn.Module):
    """A model with a mistake of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("mistake")


class Scale:
    """A preprocessor that says nothing of what it has learnt, so that all of it is stored."""

    def __init__(self, by: float = 1.0) -> None:
        self.by = by
        self.count = 0

    def fit(self, dataset: Any) -> None:
        self.count = len(dataset)

    def process(self, value: torch.Tensor) -> torch.Tensor:
        return value * self.by
