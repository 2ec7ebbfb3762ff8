"""Parts of a config whose results follow from what a keeper of some kind gives next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keepers
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Sampler


class Kept:
    """Gives a small number, another one each time, from a keeper of a kind."""

    def __init__(self, kind: str) -> None:
        self.keeper = keepers.KEEPERS[kind]()

    def next(self) -> float:
        return float(torch.tanh(torch.tensor(self.keeper() * 0.01)))


class Rows(Dataset[Any]):
    def __init__(self, kind: str) -> None:
        self.kept = Kept(kind)
        self.x = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[index] + self.kept.next(), self.x[index].sum().reshape(1)


class Stream(IterableDataset[Any]):
    def __init__(self, kind: str) -> None:
        self.rows = Rows(kind)

    def __iter__(self) -> Iterator[Any]:
        return (self.rows[index] for index in range(12))


class Turned(Sampler[int]):
    def __init__(self, kind: str) -> None:
        self.kept = Kept(kind)

    def __len__(self) -> int:
        return 12

    def __iter__(self) -> Iterator[int]:
        turn = int(abs(self.kept.next()) * 1e6)
        return iter([(turn + index * 5) % 12 for index in range(12)])


class Batches(Turned):
    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        order = list(super().__iter__())
        return iter([order[:5], order[5:8], order[8:]])


class Collator(Kept):
    def __call__(self, rows: list[Any]) -> Any:
        x, y = zip(*rows, strict=True)
        return torch.stack(x) + self.next(), torch.stack(y)


class Transform(Kept):
    def __call__(self, column: torch.Tensor) -> torch.Tensor:
        return column + self.next()


class Into(Kept):
    def __call__(self, frame: dict[str, Any]) -> Any:
        return {"net": {"x": frame["x"] + self.next()}}


class Out(Kept):
    def __call__(self, frame: dict[str, Any]) -> Any:
        return {**frame, "y_hat": frame["y_hat"] + self.next()}


class Loss(Kept):
    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction - target * (1 + self.next())).square().mean()


class Metric(Kept):
    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> float:
        return float((prediction - target).abs().mean()) + self.next()


class Net(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kept = nn.Linear(2, 1), Kept(kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(x)
        return result + self.kept.next()


class Process(Kept):
    def process(self, value: torch.Tensor) -> torch.Tensor:
        return value + self.next()


class Of(Kept):
    """The transform of a loss."""

    def __init__(self, session: Any, kind: str) -> None:
        super().__init__(kind)

    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> Any:
        return prediction, target + self.next()


def turned_hook(name: str) -> Any:
    kept = Kept("generators")
    return lambda gradient: gradient * (1 + kept.next())


def moved_hook(name: str) -> Any:
    if name:
        return None
    kept = Kept("closure")
    return lambda module, given, result: result + kept.next()


class SGD(torch.optim.SGD):
    """Steps of a size that a keeper says."""

    def __init__(self, parameters: Any, lr: float, kind: str) -> None:
        super().__init__(parameters, lr=lr, momentum=0.9)
        self.kept = Kept(kind)

    def step(self, closure: Any = None) -> Any:
        self.param_groups[0]["lr"] = 0.01 * (2 + self.kept.next())
        return super().step(closure)


class Rate(torch.optim.lr_scheduler.LRScheduler):
    def __init__(self, optimizer: Any, kind: str) -> None:
        self.kept = Kept(kind)
        super().__init__(optimizer)

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key != "kept"}

    def get_lr(self) -> list[float]:
        return [0.05 * (2 + self.kept.next()) for _ in self.optimizer.param_groups]
