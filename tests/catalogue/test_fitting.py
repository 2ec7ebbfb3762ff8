"""What preprocessors are fitted with: columns of datasets, and moments over blocks."""

from __future__ import annotations

import pytest
import torch

from torchassistant.errors import DataError
from torchassistant.fitting import Moments, alike, checked_column, column_of


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_moments_do_not_depend_on_the_blocks(at_once: int) -> None:
    values = torch.randn(3, 40, dtype=torch.float64) + 1e6
    moments = Moments.over(values.split([1, 0, 19, 20], dim=-1), at_once)
    assert moments.count == 40
    assert torch.allclose(moments.mean, values.mean(-1))
    assert torch.allclose(moments.std(), values.std(-1, correction=0), rtol=1e-6)


def test_a_column_of_all_examples() -> None:
    assert list(column_of([(1, "a"), (2, "b")], -1, "Fitter")) == ["a", "b"]
    assert list(column_of(iter([3, 4]), 0, "Fitter")) == [3, 4]
    with pytest.raises(DataError, match="example 1 has 1, counted from 0"):
        list(column_of([(1, 2), (1,)], 1, "Fitter"))
    with pytest.raises(DataError, match="Fitter cannot be fitted on a dataset without examples"):
        list(column_of([], 0, "Fitter"))


def test_columns_and_values_that_do_not_fit_are_refused() -> None:
    assert checked_column(-1, from_end=True) == -1
    with pytest.raises(ValueError, match="found -1"):
        checked_column(-1)
    with pytest.raises(DataError, match="the sizes differ: 2 in the first, 3 in example 1"):
        list(alike([torch.ones(2), torch.ones(3)], len, "the sizes differ"))
