"""A small convolutional net for images of 8 by 8 pixels."""

from __future__ import annotations

from torch import Tensor, nn


class DigitNet(nn.Module):
    """Three convolutions and a linear layer: a score for each of the ten digits.

    Args:
        width: Channels of the first convolution; the second and third have twice and four times
            as many.
        dropout: Probability that a feature is left out of the linear layer in training.
    """

    def __init__(self, width: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(1, width),
            *_convolution(width, 2 * width),
            nn.MaxPool2d(2),
            *_convolution(2 * width, 4 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width * 2 * 2, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Images, float32 (B, 1, 8, 8), to scores before softmax, float32 (B, 10)."""
        return self.classifier(self.features(images))


def _convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    """A convolution that keeps height and width, normalised over the batch."""
    return [
        # The normalisation has a bias of its own.
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
