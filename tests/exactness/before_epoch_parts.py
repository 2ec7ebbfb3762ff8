"""What the stages of these tests run before each epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset


def shake(session: Any, epoch: int) -> None:
    """Add the number of the epoch, and noise, to a weight."""
    with torch.no_grad():
        weight = session.models["net"].weight
        weight.add_(0.01 * epoch * torch.rand(weight.shape))


class Shrink:
    """Multiplies a weight."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, session: Any, epoch: int) -> None:
        with torch.no_grad():
            session.models["net"].weight.mul_(self.factor)


class Noted:
    """An output adapter that keeps what comes by."""

    seen: ClassVar[list[tuple[int, bool]]] = []

    def __call__(self, frame: Any) -> Any:
        self.seen.append((len(frame["x"]), torch.is_grad_enabled()))
        return frame


def fail(session: Any, epoch: int) -> None:
    """Raise in the second epoch."""
    if epoch == 2:
        raise RuntimeError("not now")


class Labelled(Dataset[tuple[Tensor, Tensor]]):
    """The examples in a file, as it was when it was read."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows: list[Any] = []
        self.reread()

    def reread(self) -> None:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows = [[torch.tensor(column) for column in json.loads(line)] for line in lines]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.rows[index]
        return x, y


class Label:
    """An output adapter that adds examples, for which the model gives more than 0, to a file."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def __call__(self, frame: Any) -> Any:
        rows = frame["x"][frame["y_hat"][:, 0] > 0].tolist()
        with self.path.open("a") as file:
            file.writelines(f"{json.dumps([row, [1.0]])}\n" for row in rows)
        return frame


class Erase:
    """Empties a file."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def __call__(self, session: Any, epoch: int) -> None:
        self.path.write_text("")


def reread(session: Any, epoch: int) -> None:
    """Read the examples anew."""
    session.datasets["labelled"].reread()
