"""Datasets of every kind of column, and models over them, for configs that leave all else out."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

COUNT = 60


class Examples:
    """Examples of two classes, by turns; what they look like is the subclass's."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        return self.inputs(index), self.target(index)

    def inputs(self, index: int) -> Any:
        raise NotImplementedError

    def target(self, index: int) -> Any:
        return index % 2


class Pictures(Examples):
    def inputs(self, index: int) -> Image.Image:
        return Image.new("L", (4, 4), 200 * (index % 2) + index % 40)


class Pixels(Examples):
    def inputs(self, index: int) -> Tensor:
        return torch.full((3, 4, 4), 200 * (index % 2) + index % 40, dtype=torch.uint8)


class Sentences(Examples):
    def inputs(self, index: int) -> str:
        return ("good fine " if index % 2 else "bad poor ") * (1 + index % 3)

    def target(self, index: int) -> str:
        return "positive" if index % 2 else "negative"


class Tokens(Examples):
    def inputs(self, index: int) -> list[int]:
        return [1 + index % 2] * (1 + index % 4)


class Vectors(Examples):
    def inputs(self, index: int) -> list[float]:
        return [100.0 * (index % 2) + index % 7, 5.0]

    def target(self, index: int) -> Any:
        return bool(index % 2)


class Signed(Vectors):
    def target(self, index: int) -> int:
        return 2 * (index % 2) - 1


class Amounts(Vectors):
    def target(self, index: int) -> float:
        return float(index % 2)


class Pairs(Examples):
    def __getitem__(self, index: int) -> tuple[float, int, int]:
        return 10.0 * (index % 2), index, index % 2


class Named(Examples):
    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": torch.tensor([float(index % 2), 1.0]), "label": index % 2}


class Alone(Examples):
    def __getitem__(self, index: int) -> tuple[Tensor]:
        return (torch.zeros(2),)


class Stories(Sentences):
    def target(self, index: int) -> str:
        return f"story {index}"


class Structures(Vectors):
    def target(self, index: int) -> dict[str, int]:
        return {"a": index}


class Nothing(Vectors):
    def __len__(self) -> int:
        return 0


class Flat(nn.Module):
    """A linear layer over everything."""

    def __init__(self, size: int, outputs: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


class Bag(nn.Module):
    """The mean of the embeddings of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 4)
        self.layer = nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layer(self.embedding(tokens).mean(1))


class Two(nn.Module):
    """A linear layer over two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.layer(torch.stack([a, b], dim=1))
