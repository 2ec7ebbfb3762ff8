"""Random splits of a dataset into slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Subset

from torchassistant.errors import DataError


def split_indices(count: int, ratio: Sequence[float], seed: int) -> list[torch.Tensor]:
    """Shuffle ``count`` indices and cut them by ratio; the last slice takes what is left.

    Args:
        count: The number of examples.
        ratio: The share of each slice; they add up to 1.
        seed: What the permutation follows from.

    Returns:
        One int64 tensor of indices a slice.

    Raises:
        DataError: Some slice would be empty.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    # A share such as 0.29 of 100 is 28.999… in floating point, and means 29.
    sizes = [int(count * share + 1e-6) for share in ratio[:-1]]
    sizes.append(count - sum(sizes))
    if min(sizes) < 1:
        raise DataError(f"{count} examples split by {list(ratio)} leave a slice empty: {sizes}")
    return list(torch.split(order, sizes))


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
