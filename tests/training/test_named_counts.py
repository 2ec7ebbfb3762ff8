"""What a loss is a mean over, as a config names it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from torchassistant.errors import DataError, UserCodeError
from torchassistant.training.losses.named_counts import CountByFunction, CountOfColumn, as_count

FRAME = {"mask": torch.tensor([True, False, True]), "lengths": [2, 3], "rate": torch.tensor(0.5)}


@pytest.mark.parametrize(("column", "count"), [("mask", 2), ("lengths", 5), ("rate", 0.5)])
def test_a_column_is_summed(column: str, count: float) -> None:
    assert CountOfColumn(column)(FRAME, (), "the count") == count


def test_a_column_that_is_not_there_is_told_with_the_near_name() -> None:
    with pytest.raises(DataError, match=r'the count is the column "masc", .*did you mean "mask"'):
        CountOfColumn("masc")(FRAME, (), "the count")


@pytest.mark.parametrize("value", [3, 3.0, torch.tensor([3]), torch.tensor(3.0)])
def test_a_function_gives_a_number(value: Any) -> None:
    count = CountByFunction(lambda said: value)(FRAME, [0], "the count")
    assert torch.as_tensor(count).item() == 3


@pytest.mark.parametrize(
    ("value", "found"), [(torch.ones(2), r"shape \(2,\)"), ("3", "str"), (None, "NoneType")]
)
def test_what_is_no_number_is_told(value: Any, found: str) -> None:
    with pytest.raises(DataError, match=f"the count must give one number; it gave {found}"):
        as_count(value, "the count")


def test_what_it_raises_is_the_users() -> None:
    with pytest.raises(UserCodeError):
        CountByFunction(lambda said: 1 / 0)(FRAME, [0], "the count")
