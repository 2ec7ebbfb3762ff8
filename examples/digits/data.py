"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch.utils.data import Dataset


class Digits(Dataset[tuple[NDArray[np.uint8], int]]):
    """1797 digits as examples of two columns: an image, uint8 (8, 8), and its label, 0 to 9."""

    def __init__(self) -> None:
        digits = load_digits()
        # Pixels come as 0 to 16; from 0 to 255 they are what an image file would hold.
        self.images: NDArray[np.uint8] = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        self.labels: list[int] = digits.target.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        return self.images[index], self.labels[index]
