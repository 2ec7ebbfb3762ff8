"""What the recipe of distillation names: a deep teacher and a light student over small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Images(Dataset[tuple[Tensor, int]]):
    """Images float32 (3, 8, 8), and labels from 0 to 3."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(3)
        self.images = torch.randn(count, 3, 8, 8, generator=generator)
        self.labels = torch.randint(0, 4, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.labels[index]


class Network(nn.Module):
    """Images (B, 3, 8, 8) → scores (B, 4)."""

    def __init__(self, width: int, deep: bool) -> None:
        super().__init__()
        blocks = [nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        if deep:
            blocks += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*blocks, nn.MaxPool2d(2))
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(width * 16, 10), nn.ReLU(), nn.Dropout(0.1), nn.Linear(10, 4)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
