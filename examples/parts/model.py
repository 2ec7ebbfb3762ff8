"""The parts of an image classifier; each says how wide what it returns is."""

from __future__ import annotations

from torch import Tensor, nn


class Convolutions(nn.Module):
    """A backbone: convolutions, each of which halves height and width.

    Args:
        widths: Channels of each convolution.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        pairs = zip([1, *widths], widths, strict=False)
        self.layers = nn.Sequential(*(_convolution(a, b, stride=2) for a, b in pairs))
        self.out_channels = widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Images, float32 (B, 1, H, W), to features, float32 (B, out_channels, h, w)."""
        return self.layers(images)


class Residual(nn.Module):
    """A backbone: convolutions of one width, each of which is added to what it gets.

    Args:
        width: Channels.
        depth: How many there are.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem = _convolution(1, width, stride=2)
        self.layers = nn.ModuleList(_convolution(width, width) for _ in range(depth))
        self.out_channels = width

    def forward(self, images: Tensor) -> Tensor:
        """Images, float32 (B, 1, H, W), to features, float32 (B, out_channels, h, w)."""
        features = self.stem(images)
        for layer in self.layers:
            features = features + layer(features)
        return features


class Projection(nn.Module):
    """A neck: features of another width.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.out_channels = out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Features, float32 (B, in_channels, h, w), to (B, out_channels, h, w)."""
        return self.layer(features)


class Context(nn.Module):
    """A neck: features with what is around them, as wide as they were.

    Args:
        in_channels: Channels of the features.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.layer = _convolution(in_channels, in_channels)
        self.out_channels = in_channels

    def forward(self, features: Tensor) -> Tensor:
        """Features, float32 (B, in_channels, h, w), to the same shape."""
        return self.layer(features)


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    """A convolution, normalised over the batch."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class Linear(nn.Module):
    """A head: one layer on pooled features.

    Args:
        in_channels: Channels of the features.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(in_channels, 10))

    def forward(self, pooled: Tensor) -> Tensor:
        """Features, float32 (B, in_channels, 1, 1), to scores, float32 (B, 10)."""
        return self.layers(pooled)


class Hidden(nn.Module):
    """A head with a hidden layer.

    Args:
        in_channels: Channels of the features.
        hidden: Width of the hidden layer.
    """

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        first = nn.Linear(in_channels, hidden)
        self.layers = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, pooled: Tensor) -> Tensor:
        """Features, float32 (B, in_channels, 1, 1), to scores, float32 (B, 10)."""
        return self.layers(pooled)
