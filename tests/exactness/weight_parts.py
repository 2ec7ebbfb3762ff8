"""A model of two parts that have names, and functions that give weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class Tower(nn.Module):
    """(B, 4) → (B, 1): a backbone with batch norm, and a head."""

    def __init__(self, width: int = 6, outputs: int = 1) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Tanh())
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


class Tied(nn.Module):
    """(B, 4) → (B, 4): two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


def halved(session: Any, file: str) -> dict[str, Tensor]:
    """The weights of a file, half as large; said each time it is called."""
    with Path("called").open("a") as called:
        print(session.restoring, file=called)
    tensors = load_file(file).items()
    return {name: value / 2 if value.is_floating_point() else value for name, value in tensors}


def widened(session: Any, file: str, outputs: int) -> dict[str, Tensor]:
    """A head of one output for several."""
    state = load_file(file)
    state["head.weight"] = state["head.weight"].repeat(outputs, 1)
    state["head.bias"] = state["head.bias"].repeat(outputs)
    return state


def nothing(session: Any) -> list[int]:
    """No weights."""
    return [1]


def nested(session: Any) -> dict[str, Any]:
    """A state dict inside of something."""
    return {"state_dict": {"x": torch.zeros(1)}}


def counted(session: Any) -> dict[str, Tensor]:
    """Whole numbers for each weight."""
    return {name: torch.ones(value.shape).int() for name, value in Tower().state_dict().items()}


class Numbered(nn.Module):
    """One number a name, as the guide of TorchOk's ``load_checkpoint`` has it."""

    def __init__(self) -> None:
        super().__init__()
        for part, count in (("backbone", 2), ("head", 3)):
            numbers = {f"{i}": nn.Parameter(torch.zeros(())) for i in range(1, count + 1)}
            setattr(self, part, nn.ModuleDict({"linear": nn.ParameterDict(numbers)}))

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1, keepdim=True) * sum(self.parameters())
