"""Slices for cross-validation, and slices that heed classes or what belongs together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from torchassistant.data.batch_sampler import permutation
from torchassistant.data.splits import slice_sizes, split_indices
from torchassistant.errors import DataError

_SEEDS = 2**32
"""NumPy's generators, which scikit-learn draws from, take seeds below this."""


class Labels(NamedTuple):
    """What is known of each example when slices are drawn.

    Args:
        classes: Of each example, as int64 (N,): its class, whose share is alike in all slices.
        groups: Of each example, as int64 (N,): what it belongs to, as a patient.
    """

    classes: np.ndarray[Any, np.dtype[np.int64]] | None = None
    groups: np.ndarray[Any, np.dtype[np.int64]] | None = None

    @property
    def are_none(self) -> bool:
        """Whether nothing is known."""
        return self.classes is None and self.groups is None


def fold_indices(
    count: int, folds: int, fold: int, seed: int, labels: Labels
) -> list[torch.Tensor]:
    """The slices of cross-validation: all folds but one, and that one.

    The folds follow from everything but ``fold``: each example is in exactly one of them.

    Args:
        count: The number of examples.
        folds: How many folds there are.
        fold: Which of them is the second slice, from 0.
        seed: What the order follows from.
        labels: Of the examples.

    Returns:
        Two int64 tensors of indices.

    Raises:
        DataError: A fold would be empty, or classes have too few examples.
        ImportError: scikit-learn is needed for these labels, and not installed.
    """
    kind, there = "examples", count
    if labels.groups is not None:
        kind, there = "groups", len(np.unique(labels.groups))
    if there < folds:
        raise DataError(f"{there} {kind} do not fill {folds} folds")
    if labels.are_none:
        parts = list(permutation(count, seed).tensor_split(folds))
    else:
        parts = _labelled_folds(count, folds, seed, labels)
    return [torch.cat([*parts[:fold], *parts[fold + 1 :]]), parts[fold]]


def _labelled_folds(count: int, folds: int, seed: int, labels: Labels) -> list[torch.Tensor]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

    kinds = {(True, False): StratifiedKFold, (False, True): GroupKFold}
    kind = kinds.get((labels.classes is not None, labels.groups is not None), StratifiedGroupKFold)
    splitter = kind(folds, shuffle=True, random_state=seed % _SEEDS)
    with warnings.catch_warnings():
        # A class with fewer examples than folds is missing from some, as it has to be.
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = list(splitter.split(np.zeros(count), labels.classes, labels.groups))
        except ValueError as error:
            raise DataError(f"no {folds} folds can be drawn: {error}") from None
    return [torch.from_numpy(tested.astype(np.int64)) for _, tested in found]


def labelled_slices(
    count: int, ratio: Sequence[float], seed: int, labels: Labels
) -> list[torch.Tensor]:
    """Slices by ratio, with classes or groups.

    Args:
        count: The number of examples.
        ratio: The share of each slice: of the examples, or of the groups.
        seed: What the order follows from.
        labels: Of the examples: classes or groups.

    Returns:
        One int64 tensor of indices a slice.

    Raises:
        DataError: A slice would be empty, or a class has too few examples.
        ImportError: scikit-learn is needed for classes, and not installed.
    """
    if labels.groups is not None:
        _, members = np.unique(labels.groups, return_inverse=True)
        drawn = split_indices(int(members.max()) + 1 if count else 0, ratio, seed)
        group_of = torch.from_numpy(members)
        return [torch.isin(group_of, part).nonzero().flatten() for part in drawn]
    from sklearn.model_selection import train_test_split

    sizes = slice_sizes(count, ratio)
    left = np.arange(count)
    slices: list[torch.Tensor] = []
    assert labels.classes is not None, "without labels, split_indices draws the slices"
    for number in range(len(sizes) - 1, 0, -1):
        try:
            left, taken = train_test_split(
                left,
                test_size=sizes[number],
                random_state=(seed + number) % _SEEDS,
                stratify=labels.classes[left],
            )
        except ValueError as error:
            raise DataError(f"no slices of {sizes} examples can be drawn: {error}") from None
        slices.insert(0, torch.from_numpy(taken))
    return [torch.from_numpy(left), *slices]
