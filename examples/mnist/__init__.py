"""LeNet-5 on MNIST: the quick start, in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import ToTensor


class LeNet5(nn.Module):
    """The network of Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition".

    Proceedings of the IEEE 86(11), 1998; here with a plain linear layer at the end, and with every
    map of the second convolution seeing every map of the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding="same")
        self.pool = nn.AvgPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images, float32 (B, 1, 28, 28), to one output: scores before softmax (B, 10)."""
        x = self.pool(torch.tanh(self.conv1(x)))
        x = self.pool(torch.tanh(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.tanh(self.fc1(x))
        x = torch.tanh(self.fc2(x))
        return [self.fc3(x)]


class InputAdapter:
    """Gives the node "LeNet5" its input: the images of a batch in one tensor."""

    def __init__(self) -> None:
        self.to_tensor = ToTensor()

    def __call__(self, dataframe: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
        """The column ``images``, B images of PIL, as ``x``, float32 (B, 1, 28, 28)."""
        images = [self.to_tensor(image) for image in dataframe["images"]]
        return {"LeNet5": {"x": torch.stack(images) / 255.0}}


def convert_labels(y_hat: Tensor, labels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """What the loss is called with: scores (B, 10), and labels as an int64 tensor (B,)."""
    return y_hat, torch.LongTensor(labels)


def reverse_onehot(y_hat: Tensor, ground_true: Sequence[int]) -> tuple[Tensor, Tensor]:
    """What the accuracy compares: the best class and the label, both int64 (B,)."""
    return y_hat.argmax(dim=-1), torch.LongTensor(ground_true)


class BestDigit:
    """Post-processor of inference: the digit with the highest score.

    Args:
        session: What is trained; every post-processor is given it, this one has no use for it.
    """

    def __init__(self, session: Any) -> None:
        pass

    def __call__(self, columns: Mapping[str, Tensor]) -> int:
        """The digit for one image, whose column ``y_hat`` is (1, 10)."""
        return int(columns["y_hat"].argmax())
