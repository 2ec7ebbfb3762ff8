"""Models over weights that are read from files, for the tests of loading without those files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Images:
    """Twelve images (3, 32, 32) float32 with a class each."""

    def __init__(self) -> None:
        self.images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(3))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index


class Whole(nn.Module):
    """A backbone as it is, and a head."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(1000, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x))


class Piece(nn.Module):
    """The features of a backbone; the rest of it is thrown away."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.features, self.head = backbone.features, nn.Linear(512, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Teacher(nn.Module):
    """A backbone that is hidden from the parameters, and so from what is stored."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.hidden, self.head = [backbone], nn.Linear(1000, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden[0](x))


class Perceptual(nn.Module):
    """A loss that looks through a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, y_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (self.network(x).mean() - y_hat.mean()).square()


def _linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 12))


def careless(session: Any, file: str) -> nn.Module:
    """A factory that reads a file each time."""
    model = _linear()
    model.load_state_dict(load_file(file))
    return model


def careful(session: Any, file: str) -> nn.Module:
    """A factory that reads a file only where the session does not hold the weights."""
    with Path("seen").open("a") as seen:
        print(session.restoring, file=seen)
    model = _linear()
    if not session.restoring:
        model.load_state_dict(load_file(file))
    return model


class Reader(nn.Sequential):
    """A class that reads a file each time."""

    def __init__(self, file: str) -> None:
        super().__init__(*_linear())
        try:
            self.load_state_dict(load_file(file))
        except OSError as error:
            raise RuntimeError("no weights") from error


def save(file: Path) -> None:
    """Weights for the factories."""
    save_file(_linear().state_dict(), file)
