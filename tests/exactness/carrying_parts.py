"""Models that carry a state from batch to batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """x float32 (B, 4) and a state (B, 3) or None → y (B, 1), the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(7, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        if state is None:
            state = x.new_zeros(len(x), 3)
        state = self.cell(torch.cat([x, state], 1)).tanh()
        return self.head(state), state


class Learned(Memory):
    """The same with a first state that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(3))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.first.expand(batch_size, 3)


class TwoStates(Memory):
    """The same by keyword and by key, with a second state in a nested dict."""

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        return {"state": torch.zeros(batch_size, 3), "steps": {"count": (torch.zeros(1), None)}}

    def forward(self, x: Tensor, state: Tensor, steps: Any) -> Any:  # type: ignore[override]
        count, _ = steps["count"]
        y, state = super().forward(x, state)
        return {"y": y * (1 + 0.1 * count), "state": state, "steps": {"count": (count + 1, None)}}


class Refusing(Memory):
    """Carries what cannot be stored, and gives no state for its beginning."""

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, _ = super().forward(x, None)
        return y, object()


class Growing(Memory):
    """Its next state is larger than it can take."""

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        y, state = super().forward(x, state)
        return y, torch.cat([state, state], 1)


class OwnStep:
    """A step that runs the model by itself."""

    def __call__(self, event: Any) -> dict[str, Tensor]:
        y_hat, _ = event.models["net"](event.frame["x"], None)
        error = (y_hat - event.frame["y"]).square().mean()
        event.backward(error)
        for optimizer in event.optimizers.values():
            event.step(optimizer)
        return {"error": error}
