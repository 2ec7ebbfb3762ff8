"""What the configs of the recipes name: losses and models of well-known programs, in small."""

from __future__ import annotations

from typing import Any

from exact_parts import Points
from torch import Tensor
from torch.nn.functional import cross_entropy


def wasserstein(of_fake: Tensor, of_real: Tensor) -> Tensor:
    """What a critic minimises, from its scores, float32 (B, 1) each."""
    return of_fake.mean() - of_real.mean()


def minus_mean(of_fake: Tensor) -> Tensor:
    """What a generator minimises, from the critic's scores, float32 (B, 1)."""
    return -of_fake.mean()


class HalfLabelled(Points):
    """Points with two labels, of which either may be missing: x, y, is_y_known, c, is_c_known."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x, y.nan_to_num(), index % 3 != 0, int(x[0] > 0), index % 2 == 0


def known_squares(said: Tensor, y: Tensor, known: Tensor) -> Tensor:
    """The mean squared error over the examples whose label is known; 0 where none is."""
    squares = ((said - y) ** 2).squeeze(1) * known
    return squares.sum() / known.sum().clamp(min=1)


def known_classes(scores: Tensor, c: Tensor, known: Tensor) -> Tensor:
    """Cross entropy over the examples whose class is known; 0 where none is."""
    each = cross_entropy(scores, c, reduction="none") * known
    return each.sum() / known.sum().clamp(min=1)


def known(scores: Tensor, c: Tensor, known: Tensor) -> Tensor:
    """Over how many examples that is a mean."""
    return known.sum()


def known_by_name(known: Tensor, c: Tensor, scores: Tensor) -> Tensor:
    """The same, with its arguments in another order."""
    return known.sum()
