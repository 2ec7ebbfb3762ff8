"""Parts of every kind that keep a state: what the session in ``data/format 2`` was made with.

Their code is a part of that session, and must stay as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler

SHARED = torch.Generator().manual_seed(11)


class Counted:
    """Keeps how often it was called, and tells it."""

    def __init__(self) -> None:
        self.calls = 0

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


class Rows(Counted, Dataset[Any]):
    """Twelve rows (x (3,), y (1,)), float32; each reading adds to the rows that follow."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.x, self.y = torch.randn(12, 3, generator=generator), torch.arange(12.0)[:, None]
        self.own = np.random.default_rng(2)

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        noise = self.own.random() + torch.randn((), generator=SHARED)
        return self.x[index] + 0.001 * self.calls + 0.01 * noise, self.y[index]


class Drawn(Sampler[int]):
    """Indices from a generator of its own, and a count of the passes."""

    def __init__(self, count: int) -> None:
        self.count, self.passes = count, 0
        self.generator = torch.Generator().manual_seed(3)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        order = torch.randperm(self.count, generator=self.generator).tolist()
        return iter(order[self.passes % 3 :] + order[: self.passes % 3])


class Stacked(Counted):
    """A collator."""

    def __call__(self, rows: list[Any]) -> tuple[torch.Tensor, ...]:
        self.calls += 1
        x, y = zip(*rows, strict=True)
        return torch.stack(x) * (1 + 0.01 * self.calls), torch.stack(y)


class Growing(Counted):
    """A transform of one column, with a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.own = np.random.default_rng(4)

    def __call__(self, column: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return column + 0.01 * self.calls + 0.01 * self.own.normal()


class Into(Growing):
    """An input adapter."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {"net": {"x": super().__call__(frame["x"])}}


class Out(Growing):
    """An output adapter."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {**frame, "y_hat": super().__call__(frame["y_hat"])}


class Whole(Growing):
    """A batch processor that is an object."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {**frame, "x": super().__call__(frame["x"])}


class Net(nn.Module):
    """(B, 3) → (B, 1), with buffers of both kinds and a state that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.own = np.random.default_rng(5)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("recent", torch.zeros(3), persistent=False)
        self.text = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += 1
            self.recent.copy_(x.mean(0).detach())
            self.text = f"{self.text[-8:]}{int(self.seen)}"
        noise = self.own.normal()
        result: torch.Tensor = self.layer(x + 0.01 * self.recent + 0.01 * noise)
        return result + 0.001 * len(self.text)

    def get_extra_state(self) -> Any:
        return {"text": self.text}

    def set_extra_state(self, state: Any) -> None:
        self.text = state["text"]


class Falling(nn.Module):
    """Squared errors over a running mean of themselves, in a buffer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))
        self.register_buffer("last", torch.ones(()), persistent=False)

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        error = (prediction - target).square().mean()
        result = error / (self.mean + 0.1 * self.last)
        if torch.is_grad_enabled():
            self.mean.mul_(0.9).add_(0.1 * error.detach())
            self.last.copy_(error.detach())
        return result


class Labelled(torch.nn.MSELoss):
    """A mean over what it says."""

    def count(self, prediction: torch.Tensor, target: torch.Tensor) -> int:
        return len(target)


class Columns(Growing):
    """The transform of a loss."""

    def __init__(self, session: Any) -> None:
        super().__init__()

    def __call__(self, one: torch.Tensor, other: torch.Tensor) -> Any:  # type: ignore[override]
        return super().__call__(one), other


class Patient(Counted):
    """Done when it was asked so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def __call__(self, epoch: int, history: Any) -> bool:
        self.calls += 1
        return self.calls >= self.times
