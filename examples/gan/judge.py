"""Rates generated digits with a classifier of real digits."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC
from torch import Tensor

from examples.gan.data import real_digits

SURE = 0.8
"""From this probability on, the classifier counts as confident."""

HELD_OUT = slice(None, None, 4)
"""The real digits that the classifier does not learn from, to judge it by."""


class _DigitCounts:
    """Counts which digits the images of a batch show."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all updates."""
        self.counts = torch.zeros(10, dtype=torch.float64)

    def update(self, probabilities: Tensor) -> None:
        """Count the digits of a batch: ``probabilities`` is floating-point (B, 10)."""
        self.counts += probabilities.argmax(dim=1).bincount(minlength=10).cpu()

    @property
    def shares(self) -> Tensor:
        """The share of each digit, float64 (10,)."""
        return self.counts / self.counts.sum()


class DigitsFound(_DigitCounts):
    """Metric: how many of the ten digits are found among the images.

    Args:
        least_share: The share of the images, 0 to 1, from which on a digit counts as found.
    """

    def __init__(self, least_share: float = 0.02) -> None:
        super().__init__()
        self.least_share = least_share

    def compute(self) -> int:
        """The number of digits, 0 to 10."""
        return int((self.shares >= self.least_share).sum())


class RarestDigit(_DigitCounts):
    """Metric: the share of the images that the rarest of the ten digits has."""

    def compute(self) -> float:
        """The share, from 0, where a digit is missing, to 0.1, where all are equally frequent."""
        return float(self.shares.min())


def probabilities(image: Tensor) -> Tensor:
    """Which digit the images, float (B, 1, 8, 8) from 0 to 1, show: float32 (B, 10)."""
    shares = _classifier().predict_proba(image.flatten(1).cpu().numpy())
    return torch.from_numpy(shares).float()


def confident(image: Tensor) -> Tensor:
    """1 where the classifier is confident, 0 elsewhere: float32 (B,) of images (B, 1, 8, 8)."""
    return (probabilities(image).amax(dim=1) >= SURE).float()


@cache
def _classifier() -> Any:
    """Ten support vector machines, each of which knows one digit from everything else.

    All of them may say no. A network with a softmax would be as sure of plain noise as of digits.
    """
    images, labels = real_digits()
    learnt = torch.ones(len(labels), dtype=torch.bool)
    learnt[HELD_OUT] = False
    one = CalibratedClassifierCV(SVC(gamma=0.25), ensemble=False)
    return OneVsRestClassifier(one).fit(images[learnt].flatten(1).numpy(), labels[learnt].numpy())
