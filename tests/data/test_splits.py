"""How many examples each slice of a split gets."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.data.splits import slice_sizes, split_indices
from torchassistant.errors import DataError

weights = st.lists(st.integers(1, 100), min_size=1, max_size=12)
counts = st.integers(0, 500)


def exact_shares(count: int, parts: list[int]) -> list[Fraction]:
    return [Fraction(count * part, sum(parts)) for part in parts]


@given(counts, weights)
def test_sizes_are_within_one_of_the_exact_shares(count: int, parts: list[int]) -> None:
    sizes = slice_sizes(count, [part / sum(parts) for part in parts])
    assert sum(sizes) == count
    for size, share in zip(sizes, exact_shares(count, parts), strict=True):
        assert abs(size - share) < 1
        assert size == share or share.denominator > 1


@given(counts, weights)
def test_no_slice_is_empty_where_another_could_spare_an_example(
    count: int, parts: list[int]
) -> None:
    sizes = slice_sizes(count, [part / sum(parts) for part in parts])
    shares = exact_shares(count, parts)
    # A slice that was rounded up, and would hold something all the same, could have spared one.
    could_spare = any(s > share and share > 1 for s, share in zip(sizes, shares, strict=True))
    assert count == 0 or 0 not in sizes or not could_spare


@given(counts, st.integers(1, 99))
def test_of_two_slices_the_first_is_rounded_down(count: int, percent: int) -> None:
    first = count * percent // 100
    sizes = slice_sizes(count, [percent / 100, 1 - percent / 100])
    rescued = first == 0 and count > 1 and count * percent % 100
    assert sizes == ([1, count - 1] if rescued else [first, count - first])


def test_folds_differ_by_one_at_most() -> None:
    assert slice_sizes(59, [0.1] * 10) == [5] + [6] * 9
    assert slice_sizes(23, [0.2] * 5) == [4, 4, 5, 5, 5]
    assert slice_sizes(100, [0.29, 0.71]) == [29, 71]
    assert slice_sizes(59, [0.8, 0.1, 0.1]) == [47, 6, 6]


@given(st.integers(10, 200), st.integers(0, 2**32))
def test_the_slices_are_one_partition(count: int, seed: int) -> None:
    slices = split_indices(count, [0.1] * 10, seed)
    assert sorted(index for part in slices for index in part.tolist()) == list(range(count))


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match=r"leave a slice empty: \[0, 1, 9\]"):
        split_indices(10, [0.05, 0.05, 0.9], 0)
