"""Data and metrics for the tests of metrics that give more than one number."""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

CLASSES = 3


class Labelled(Dataset[Any]):
    """Points of four numbers, each with one of three classes."""

    def __init__(self, size: int) -> None:
        numbers = torch.Generator().manual_seed(3)
        self.x = torch.randn(size, 4, generator=numbers)
        self.y = torch.randint(CLASSES, (size,), generator=numbers)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Meter:
    """A mean that is kept in an object of its own."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, value: float, n: int) -> None:
        self.total += value
        self.count += n

    @property
    def average(self) -> float:
        return self.total / max(self.count, 1)


class TopK:
    """Top-k accuracy, and the mean rank of the right class among the first k."""

    better = "max"

    def __init__(self, k: int = 2) -> None:
        self.k = k
        self.accuracy, self.rank = Meter(), Meter()

    def reset(self) -> None:
        self.accuracy.reset()
        self.rank.reset()

    def update(self, said: Tensor, y: Tensor) -> None:
        found = torch.topk(said, self.k, dim=1)[1] == y.unsqueeze(1)
        self.accuracy.update(found.any(dim=1).sum().item(), len(y))
        self.rank.update(torch.nonzero(found)[:, 1].sum().item(), len(y))

    def compute(self) -> dict[str, float]:
        return {"accuracy": self.accuracy.average, "rank": self.rank.average + 1}


class Declared(TopK):
    """The same, and says what it gives."""

    columns = ("accuracy", "rank")


class Gives:
    """Gives one of some values at each pass, the last again and again."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)

    def reset(self) -> None:
        pass

    def update(self, said: Tensor, y: Tensor) -> None:
        self.said = said

    def compute(self) -> Any:
        return value_of(self.values[min(Passes.count, len(self.values) - 1)])


class Passes:
    """How many epochs the test wants to have passed."""

    count = 0


def value_of(text: Any) -> Any:
    """A value of a kind that a config does not hold."""
    if isinstance(text, dict):
        return {key: value_of(value) for key, value in text.items()}
    kinds: dict[str, Any] = {
        "matrix": torch.arange(6).reshape(2, 3),
        "long": torch.ones(7),
        "text": "good",
        "none": None,
        "nan": float("nan"),
        "numpy": np.float32(0.5),
        "array": np.arange(3.0),
        "curve": (torch.zeros(2), [torch.ones(1), torch.ones(2, dtype=torch.bfloat16)]),
        "complex": torch.ones(2, dtype=torch.complex64),
        "empty": {},
        "number as key": {1: 2.0},
    }
    return kinds.get(text, text) if isinstance(text, str) else text


def errors(said, y):  # type: ignore[no-untyped-def]
    """The share of errors, and how sure the model is: means over the batch."""
    wrong = (said.argmax(1) != y).float()
    return {"wrong": wrong.mean(), "sure": said.softmax(1).amax(1).mean()}


def boxes_of(said, y):  # type: ignore[no-untyped-def]
    """Lists of dicts, as metrics of detection take them: one box for each example."""
    corners = said[:, :2].abs().detach()
    boxes = torch.cat([corners, corners + 1], dim=1)
    found = [
        {"boxes": box[None], "scores": scores.softmax(0).amax()[None], "labels": label[None]}
        for box, scores, label in zip(boxes, said, said.argmax(1), strict=True)
    ]
    there = [
        {"boxes": box[None], "labels": label[None]} for box, label in zip(boxes, y, strict=True)
    ]
    return found, there


class Detections:
    """As torchmetrics' mean average precision: over lists of dicts, with values by class."""

    class_metrics = True

    def reset(self) -> None:
        self.right: dict[int, list[bool]] = {}

    def update(self, found: list[dict[str, Tensor]], there: list[dict[str, Tensor]]) -> None:
        for mine, theirs in zip(found, there, strict=True):
            for label in theirs["labels"].tolist():
                self.right.setdefault(label, []).append(label in mine["labels"].tolist())

    def compute(self) -> dict[str, Tensor]:
        labels = sorted(self.right)
        shares = [sum(self.right[label]) / len(self.right[label]) for label in labels]
        return {
            "map": torch.tensor(shares).mean(),
            "map_per_class": torch.tensor(shares),
            "classes": torch.tensor(labels, dtype=torch.int32),
        }


def probabilities(said, y):  # type: ignore[no-untyped-def]
    """What metrics of torchmetrics take."""
    return said.softmax(1), y


class Keeping:
    """Counts in ways that people count in."""

    def __init__(self) -> None:
        self.meters = [Meter(), Meter()]
        self.of_class = {"rows": Meter()}
        self.reset()

    def reset(self) -> None:
        self.matrix = torch.zeros(CLASSES, CLASSES)
        self.seen: Counter[int] = Counter()
        self.per: defaultdict[str, int] = defaultdict(int)
        self.last: deque[float] = deque(maxlen=3)
        self.outputs: list[Tensor] = []
        self.noise = random.Random(1)
        for meter in (*self.meters, *self.of_class.values()):
            meter.reset()

    def update(self, said: Tensor, y: Tensor) -> None:
        for one, label in zip(said.argmax(1), y, strict=True):
            self.matrix[one, label] += 1
        self.seen.update(y.tolist())
        self.per["examples"] += len(y)
        self.last.append(said.mean().item())
        self.outputs.append(said)
        self.meters[0].update(self.noise.random(), 1)
        self.meters[1].update(1.0, 1)
        self.of_class["rows"].update(len(y), 1)

    def compute(self) -> dict[str, Any]:
        return {
            "noise": self.meters[0].average,
            "batches": self.meters[1].total,
            "rows": self.of_class["rows"].total,
            "mean": torch.cat(self.outputs).mean(),
            "zeros": self.seen[0],
            "examples": self.per["examples"],
            "last": sum(self.last),
            "matrix": self.matrix.clone(),
        }


class Stated:
    """Says by itself what its state is."""

    def __init__(self) -> None:
        self.parts = None
        self.reset()

    def reset(self) -> None:
        self.parts = (Meter(),)

    def update(self, said: Tensor, y: Tensor) -> None:
        self.parts[0].update(said.sum().item(), len(y))

    def compute(self) -> float:
        return self.parts[0].average

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.parts[0].total, "count": self.parts[0].count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.parts[0].total, self.parts[0].count = state["total"], state["count"]


class Hoarding:
    """Keeps objects that cannot be stored."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.meters: list[Meter] = []

    def update(self, said: Tensor, y: Tensor) -> None:
        self.meters.append(Meter())

    def compute(self) -> int:
        return len(self.meters)


class Step:
    """A step of one's own, which also shows what it said."""

    def __call__(self, event: Any) -> dict[str, Any]:
        frame = (
            event.frames["input"] if "input" in event.frames else next(iter(event.frames.values()))
        )
        said = event.models["net"](frame["x"])
        error = nn.functional.cross_entropy(said, frame["y"])
        event.optimizers["descent"].zero_grad()
        event.backward(error)
        event.step(event.optimizers["descent"])
        return {"error": error, "said": said}


class SometimesInfinite(nn.Module):
    """Cross entropy, but infinite at one batch."""

    def forward(self, said: Tensor, y: Tensor) -> Tensor:
        whole = nn.functional.cross_entropy(said, y)
        return whole / 0 if len(y) == 2 else whole
