"""Models that taps look into."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Deep(nn.Module):
    """x float32 (B, 4) → scores (B, 3), with layers that have names."""

    def __init__(self, width: int = 6, inplace: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Tanh())
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace))
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.stem(x) + self.body(self.stem[2](self.stem[0](x)))))


class Once(Deep):
    """The same, each layer called once."""

    def forward(self, x: Tensor, skips: bool = False) -> Tensor:
        hidden = self.stem(x)
        return self.head(self.drop(hidden + self.body(hidden)))

    def run_inference(self, x: Tensor) -> Tensor:
        return self(x)


class Idle(Once):
    """Has a layer that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


class Recurrent(nn.Module):
    """x float32 (B, 4) → scores (B, 3); the layer inside gives a tuple, and gets a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.cell(input=x[:, None])
        return self.head(steps[:, 0])


class Nested(nn.Module):
    """Its layer gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _Dict()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)["scores"]


class _Dict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"scores": self.layer(x)}
