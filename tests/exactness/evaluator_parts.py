"""Evaluators that the configs of these tests name."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from exact_parts import Points
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import IterableDataset


class Accuracy:
    """The evaluation function of Neutrino's guide, with our arguments."""

    columns = ("accuracy",)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def __call__(self, models: Mapping[str, nn.Module], loader: Any) -> dict[str, float]:
        total = 0.0
        for x, y in loader:
            out = models["model"](x.to(self.device))
            out = torch.argmax(torch.softmax(out, dim=-1), dim=1)
            total += torch.mean((out == y.to(self.device)).float()).cpu().item()
        return {"accuracy": 100.0 * (total / float(len(loader)))}


def error(models: Mapping[str, nn.Module], loader: Iterable[Any]) -> dict[str, Any]:
    """A mean over batches, and how it was called."""
    ((name, net),) = models.items()
    assert not net.training
    assert not torch.is_grad_enabled()
    batches = list(loader)
    assert all(x.device.type == "cpu" for x, _ in batches)
    losses = [mse_loss(net(x), y) for x, y in batches]
    return {
        "mean": torch.stack(losses).mean(),
        "batches": np.int64(len(losses)),
        "is_net": name == "net",
    }


class Flow(IterableDataset[Any]):
    """The examples of another dataset, as a stream."""

    def __init__(self, size: int) -> None:
        self.points = Points(size)

    def __iter__(self) -> Iterator[Any]:
        return (self.points[index] for index in range(len(self.points)))


def rounded(models: Mapping[str, nn.Module], loader: Iterable[Any]) -> dict[str, Any]:
    """A mean over batches in the precision that it is called in; and one in float32."""
    net = models["net"]
    lossy = [mse_loss(net(x).float(), y) for x, y in loader]
    with torch.autocast("cpu", enabled=False):
        whole = [mse_loss(net(x), y) for x, y in loader]
    return {"lossy": torch.stack(lossy).mean(), "whole": torch.stack(whole).mean()}


class Restless:
    """Draws from every generator, trains in place, and counts its calls."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.calls = 0

    def __call__(self, models: Mapping[str, nn.Module], loader: Any) -> dict[str, Any]:
        self.calls += 1
        drawn = random.random() + float(np.random.rand()) + float(torch.rand(()))
        drawn += float(torch.rand((), generator=self.generator))
        for model in models.values():
            model.train()
        total = 0.0
        device = next(parameter.device for m in models.values() for parameter in m.parameters())
        with torch.enable_grad():
            for x, y in loader:
                value = sum(
                    mse_loss(model(x.to(device)), y.to(device)) for model in models.values()
                )
                assert isinstance(value, Tensor)
                value.backward()
                total += float(value.detach())
        return {"calls": self.calls, "drawn": drawn, "total": total}

    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


class Fickle:
    """Gives other keys from its second call of a process on."""

    def __init__(self, first: dict[str, Any], then: dict[str, Any]) -> None:
        self.first, self.then = first, then
        self.calls = 0

    def __call__(self, models: Any, loader: Any) -> dict[str, Any]:
        self.calls += 1
        return self.first if self.calls == 1 else self.then


def gives_text(models: Any, loader: Any) -> dict[str, Any]:
    return {"score": "high"}


def gives_number(models: Any, loader: Any) -> float:
    return 1.0


def gives_named_by_numbers(models: Any, loader: Any) -> dict[int, float]:
    return {1: 1.0}


def raises(models: Any, loader: Any) -> dict[str, float]:
    raise LookupError("no such reference")


class Twice:
    columns = ("a", "a")

    def __call__(self, models: Any, loader: Any) -> dict[str, float]:
        return {"a": 1.0}


def count(models: Mapping[str, nn.Module], loader: None) -> dict[str, float]:
    """Needs no data."""
    assert loader is None
    return {"models": len(models)}
