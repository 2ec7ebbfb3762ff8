"""Optimizers that demand a closure, and models for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from exact_parts import Points
from torch import Tensor, nn


class Twice(torch.optim.SGD):
    """Descends twice in a step, by two calls of its closure."""

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        with torch.enable_grad():
            first = closure()
        super().step()
        with torch.enable_grad():
            closure()
        super().step()
        return first


class NeverCalls(torch.optim.SGD):
    """Demands a closure, and does not call it."""

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        return None


class Explodes(Twice):
    """Its weights are infinite after a step that began with a large loss."""

    def step(self, closure: Callable[[], Any]) -> Any:
        first = super().step(closure)
        self.state[self.param_groups[0]["params"][0]].setdefault("calls", []).append(1)
        if first > 1.5:
            for parameter in self.param_groups[0]["params"]:
                parameter.data.mul_(torch.inf)
        return first


def lbfgs(session: Any, model: str = "net") -> torch.optim.Optimizer:
    return torch.optim.LBFGS(session.models[model].parameters(), lr=0.1, max_iter=3)


class Noisy(nn.Module):
    """Draws from torch's generator and from its own, and keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.4)
        self.second = nn.Linear(6, 1)
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.1 * torch.randn(x.shape, generator=self.generator)
        result: Tensor = self.second(self.drop(self.norm(self.first(x))))
        return result


class WithNan(Points):
    """Twelve points, of which the second four are not finite."""

    def __init__(self) -> None:
        super().__init__(12)
        self.x[4:8] = torch.nan


class Rest(Points):
    """The same without those."""

    def __init__(self) -> None:
        super().__init__(12)
        keep = [0, 1, 2, 3, 8, 9, 10, 11]
        self.x, self.y = self.x[keep], self.y[keep]


class Remembers(Twice):
    """Steps by the mean of the last two losses, which it keeps with a word and their number."""

    def step(self, closure: Callable[[], Any]) -> Any:
        state = self.state[self.param_groups[0]["params"][0]]
        state.setdefault("word", "kept")
        state.setdefault("last", deque(maxlen=2))
        with torch.enable_grad():
            state["last"].append((closure().double(), {"of": 1}))
        for group in self.param_groups:
            group["lr"] = 0.1 * float(sum(value for value, _ in state["last"])) / 2
        return super().step(closure)


class Counting:
    """A weight that rises whenever it is asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: int, epoch: int) -> float:
        self.calls += 1
        return 1 + self.calls / 8

    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]
