"""The backbone that both tasks share, and how it comes from the first to the second."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import torchassistant


class Backbone(nn.Module):
    """Three convolutions and the mean over all places.

    Args:
        width: Channels of the first convolution; the next ones have twice and four times as many.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = _block(3, width)
        self.layer1 = _block(width, 2 * width)
        self.layer2 = _block(2 * width, 4 * width)
        self.features = 4 * width

    def forward(self, images: Tensor) -> Tensor:
        """Images, float32 (B, 3, H, W), to features, float32 (B, 4 width)."""
        return self.layer2(self.layer1(self.stem(images))).mean(dim=(2, 3))


def _block(channels: int, more: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, more, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(more),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


def pretrained_backbone(session: Any, trained: str) -> Backbone:
    """The backbone of a session that has been trained.

    Args:
        session: The session that is made. When it is loaded later, its own weights replace
            these, and the other session is not needed any more.
        trained: The folder of the other session.
    """
    if session.restoring:
        return Backbone()
    return torchassistant.load_session(trained).models["backbone"]
