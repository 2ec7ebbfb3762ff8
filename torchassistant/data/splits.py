"""Random splits of a dataset into slices."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch.utils.data import Subset

from torchassistant.data.batch_sampler import permutation
from torchassistant.errors import DataError


def split_indices(count: int, ratio: Sequence[float], seed: int) -> list[torch.Tensor]:
    """Shuffle ``count`` indices and cut them by ratio.

    Args:
        count: The number of examples.
        ratio: The share of each slice; they add up to 1.
        seed: What the permutation follows from.

    Returns:
        One int64 tensor of indices a slice, as long as :func:`slice_sizes` says.

    Raises:
        DataError: Some slice would be empty, or the indices do not fit into memory.
    """
    order = permutation(count, seed)
    sizes = slice_sizes(count, ratio)
    if min(sizes) < 1:
        raise DataError(f"{count} examples split by {list(ratio)} leave a slice empty: {sizes}")
    return list(torch.split(order, sizes))


def slice_sizes(count: int, ratio: Sequence[float]) -> list[int]:
    """Whole numbers that differ from the exact shares by less than 1, and add up to ``count``.

    Each share is rounded down. What is left over goes, one each, to slices whose share is no whole
    number: to those that would be empty first, then to the last ones.
    """
    total = sum(map(Fraction, ratio))
    shares = [count * Fraction(share) / total for share in ratio]
    # A share such as 0.29 of 100 is 28.999… in floating point, and means 29.
    sizes = [int(share + _ROUNDING) for share in shares]
    broken = [i for i, share in enumerate(shares) if share > sizes[i] + _ROUNDING]
    broken.sort(key=lambda i: (sizes[i] > 0, -i))
    for i in broken[: count - sum(sizes)]:
        sizes[i] += 1
    return sizes


_ROUNDING = Fraction(1, 1_000_000)


class Split:
    """The slices of one dataset: ``.train``, ``.val``, ``.test`` or ``[i]``.

    Args:
        dataset: What is split.
        indices: One int64 tensor a slice.
    """

    def __init__(self, dataset: Any, indices: Sequence[torch.Tensor]) -> None:
        self.indices = list(indices)
        self.slices = [Subset(dataset, part.tolist()) for part in indices]

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, index: int) -> Subset[Any]:
        return self.slices[index]

    @property
    def train(self) -> Subset[Any]:
        """The first slice."""
        return self.slices[0]

    @property
    def val(self) -> Subset[Any]:
        """The second slice."""
        return self.slices[1]

    @property
    def test(self) -> Subset[Any]:
        """The third slice."""
        return self.slices[2]
