"""The parts of fast style transfer: a transformer network, and losses of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss
from torch.utils.data import Dataset


class Photos(Dataset[Tensor]):
    """Pictures (3, 12, 12) to be painted in a style."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.rand(count, 3, 12, 12, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor]:  # type: ignore[override]
        return (self.images[index],)


class TransformerNet(nn.Module):
    """Paints pictures: (B, 3, H, W) → (B, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.residual = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.down(x)).relu()
        h = h + self.residual(h).relu()
        result: Tensor = self.up(interpolate(h, scale_factor=2.0))
        return result


class Features(nn.Module):
    """Stands for VGG: (B, 3, H, W) → what two of its layers give."""

    def __init__(self) -> None:
        super().__init__()
        self.slice1 = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.slice2 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.slice1(x)
        return h, self.slice2(h)


def gram_matrix(y: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, C)."""
    batch, channels, height, width = y.size()
    features = y.view(batch, channels, width * height)
    return features.bmm(features.transpose(1, 2)) / (channels * height * width)


class StyleLoss(nn.Module):
    """How far the statistics of features are from those of one picture.

    Args:
        style: The seed of that picture.
        channels: Of the features; its own are drawn, as nothing reads a picture here.
    """

    def __init__(self, style: int, channels: tuple[int, int] = (4, 6)) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(style)
        for index, count in enumerate(channels):
            gram = torch.rand(1, count, count, generator=generator) / count
            self.register_buffer(f"gram{index}", gram)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        total = first.new_zeros(())
        for index, features in enumerate((first, second)):
            wanted = getattr(self, f"gram{index}").expand(len(features), -1, -1)
            total = total + mse_loss(gram_matrix(features), wanted)
        return total
