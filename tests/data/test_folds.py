"""Cross-validation, and slices that heed classes or groups."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import sklearn.model_selection  # noqa: F401 - so that no test waits for it
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.data.folds import Labels, fold_indices, labelled_slices
from torchassistant.errors import DataError

seeds = st.integers(0, 2**63 - 1)


def codes(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def all_folds(count: int, folds: int, seed: int, labels: Labels) -> list[list[torch.Tensor]]:
    return [fold_indices(count, folds, fold, seed, labels) for fold in range(folds)]


@given(st.integers(2, 60), st.integers(2, 10), seeds)
def test_each_example_is_in_one_fold(count: int, folds: int, seed: int) -> None:
    if count < folds:
        with pytest.raises(DataError, match=f"{count} examples do not fill {folds} folds"):
            fold_indices(count, folds, 0, seed, Labels())
        return
    drawn = all_folds(count, folds, seed, Labels())
    assert sorted(torch.cat([held for _, held in drawn]).tolist()) == list(range(count))
    assert max(len(held) for _, held in drawn) - min(len(held) for _, held in drawn) <= 1
    for trained, held in drawn:
        assert sorted([*trained.tolist(), *held.tolist()]) == list(range(count))


@given(st.lists(st.integers(0, 2), min_size=30, max_size=60), seeds)
def test_classes_keep_their_shares_in_each_fold(classes: list[int], seed: int) -> None:
    counts = Counter(classes)
    if min(counts.values()) < 3:
        return
    for _, held in all_folds(len(classes), 3, seed, Labels(codes(classes))):
        there = Counter(classes[i] for i in held.tolist())
        assert all(abs(there[name] - count / 3) < 1 for name, count in counts.items())


@given(st.lists(st.integers(0, 9), min_size=20, max_size=60), st.booleans(), seeds)
def test_a_group_is_in_one_fold(groups: list[int], stratified: bool, seed: int) -> None:
    classes = codes([i % 2 for i in range(len(groups))]) if stratified else None
    labels = Labels(classes, codes(groups))
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="groups do not fill 3 folds"):
            fold_indices(len(groups), 3, 0, seed, labels)
        return
    drawn = all_folds(len(groups), 3, seed, labels)
    assert sorted(torch.cat([held for _, held in drawn]).tolist()) == list(range(len(groups)))
    for trained, held in drawn:
        assert not {groups[i] for i in trained.tolist()} & {groups[i] for i in held.tolist()}


@given(st.lists(st.integers(0, 2), min_size=40, max_size=80), seeds)
def test_slices_by_ratio_keep_the_shares_of_classes(classes: list[int], seed: int) -> None:
    counts = Counter(classes)
    if min(counts.values()) < 8 or len(counts) < 2:
        return
    count = len(classes)
    slices = labelled_slices(count, [0.5, 0.25, 0.25], seed, Labels(codes(classes)))
    assert sorted(torch.cat(slices).tolist()) == list(range(count))
    for part in slices:
        there = Counter(classes[i] for i in part.tolist())
        for name, whole in counts.items():
            assert abs(there[name] - whole * len(part) / count) <= 2


@given(st.lists(st.integers(0, 30), min_size=40, max_size=80), seeds)
def test_slices_by_ratio_take_groups_whole(groups: list[int], seed: int) -> None:
    labels = Labels(groups=codes(groups))
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="leave a slice empty"):
            labelled_slices(len(groups), [0.5, 0.5], seed, labels)
        return
    slices = labelled_slices(len(groups), [0.5, 0.5], seed, labels)
    assert sorted(torch.cat(slices).tolist()) == list(range(len(groups)))
    first, second = ({groups[i] for i in part.tolist()} for part in slices)
    assert not first & second
    assert 0 <= len(second) - len(first) <= 1


def test_what_cannot_be_drawn_is_told() -> None:
    rare = Labels(codes([0] * 9 + [1]))
    with pytest.raises(DataError, match="least populated class"):
        labelled_slices(10, [0.5, 0.5], 1, rare)
    lonely = Labels(codes(list(range(6))))
    with pytest.raises(DataError, match="no 2 folds can be drawn: n_splits=2 cannot be greater"):
        fold_indices(6, 2, 0, 1, lonely)


def test_the_order_follows_from_the_seed() -> None:
    labels = Labels(codes([i % 2 for i in range(40)]))
    for seeded in (Labels(), labels):
        first, again, other = (fold_indices(40, 4, 1, seed, seeded)[1] for seed in (7, 7, 8))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
