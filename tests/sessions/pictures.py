"""Datasets of pictures with a transform of their own, and what predictions are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize, ToTensor


def picture(brightness: int) -> Image.Image:
    """A grey picture of 4 by 4 pixels."""
    return Image.new("L", (4, 4), brightness)


class Pictures:
    """Pictures, and their class; a transform may be given, as torchvision's datasets have it."""

    classes = ("dark", "middling", "bright")

    def __init__(self, transform: Any = None) -> None:
        if Path("gone").exists():
            raise FileNotFoundError("the pictures are gone")
        self.transform = transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = picture(20 * index)
        return image if self.transform is None else self.transform(image), index % 3


class Settled(Pictures):
    """Its transform is its own affair."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = Compose([ToTensor(), Normalize(0.5, 0.5)])


class Secretive:
    """What it does to its pictures stands nowhere but here."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return ToTensor()(picture(20 * index)), index % 3


class Seeing(torch.nn.Module):
    """Float pictures (B, 1, 4, 4) to scores (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


class ReadyPicture:
    """An input converter that gives what the dataset gives."""

    def __call__(self, text: str) -> torch.Tensor:
        with Image.open(text) as image:
            return ToTensor()(image)


class AskedFor:
    """A post-processor that asks the session for a dataset."""

    def __init__(self, session: Any) -> None:
        self.classes = session.datasets["points"].classes

    def __call__(self, columns: dict[str, Any], input: Any) -> list[Any]:
        return [input, self.classes[int(columns["y_hat"].argmax())]]
