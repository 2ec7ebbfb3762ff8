"""Real images, and the noise that fake images are made from."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import Dataset

from torchassistant.errors import DataError


def real_digits() -> tuple[Tensor, Tensor]:
    """The 1797 handwritten digits that come with scikit-learn.

    Returns:
        Images, float32 (1797, 1, 8, 8) from 0 (black) to 1 (white), and what they show, int64
        (1797,) from 0 to 9.
    """
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(digits.target)


class Digits(Dataset[tuple[Tensor, float]]):
    """Real images. An example is an image, float32 (1, 8, 8) from 0 to 1, and its label.

    Args:
        label: What the discriminator should say of them. A little less than 1 keeps it
            from being too sure of itself (one-sided label smoothing; Salimans et al., 2016).
    """

    def __init__(self, label: float = 1.0) -> None:
        self.images, _ = real_digits()
        self.label = label

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        return self.images[index], self.label


class Noise(Dataset[tuple[Tensor, float]]):
    """The noise that the generator makes images from.

    An example is a vector, float32 (size,) of standard normal values, and the label of the image.

    Args:
        count: The number of examples.
        size: The length of a vector.
        label: What the discriminator should say of the image.
        seed: With a seed the i-th example is always the same; without one it is new every time.
    """

    def __init__(self, count: int, size: int, label: float = 0.0, seed: int | None = None) -> None:
        self.count = count
        self.size = size
        self.label = label
        self.fixed = None if seed is None else noise_of_seed(seed, count, size)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        noise = torch.randn(self.size) if self.fixed is None else self.fixed[index]
        return noise, self.label


class NoiseOfSeed:
    """Input converter: from a whole number as text to the noise, float32 (size,), of that seed."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, text: str) -> Tensor:
        """Draw the noise.

        Raises:
            DataError: The text is no whole number of 64 bits.
        """
        try:
            return noise_of_seed(int(text), 1, self.size)[0]
        except (ValueError, OverflowError, RuntimeError):
            raise DataError(
                f"the input is a seed, a whole number of 64 bits; found {text!r}"
            ) from None


def noise_of_seed(seed: int, count: int, size: int) -> Tensor:
    """Float32 (count, size), the same for the same arguments."""
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))
