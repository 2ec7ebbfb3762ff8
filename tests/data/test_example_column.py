"""A column of a dataset, whatever its examples are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from torchassistant.data.example_column import column_codes
from torchassistant.errors import DataError, UserCodeError


class Columns:
    """Gives columns, and must not be asked for examples."""

    def __len__(self) -> int:
        return 5000

    def columns_at(self, indices: list[int]) -> dict[str, torch.Tensor]:
        return {"kind": torch.tensor(indices) % 3}


class Broken:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        raise RuntimeError("no such file")


TENSORS = TensorDataset(torch.zeros(4, 2), torch.tensor([5, 7, 5, 9]))
DATASETS: dict[str, tuple[Any, int | str, list[int]]] = {
    "tensors": (TENSORS, 1, [0, 1, 0, 2]),
    "a slice": (Subset(TENSORS, [3, 1, 3]), 1, [0, 1, 0]),
    "pairs": ([("x", "cat"), ("y", "dog"), ("z", "cat")], 1, [0, 1, 0]),
    "dicts": ([{"who": np.int64(3)}, {"who": np.array([4])}], "who", [0, 1]),
    "values": ([True, False, True], 0, [0, 1, 0]),
    "whole numbers as floats": ([(1.0,), (torch.tensor(2.0),), (1,)], 0, [0, 1, 0]),
    "columns": (Columns(), "kind", [i % 3 for i in range(5000)]),
}


@pytest.mark.parametrize("name", DATASETS)
def test_values_are_told_apart(name: str) -> None:
    dataset, column, expected = DATASETS[name]
    found = column_codes(dataset, column)
    assert (found.dtype, found.tolist()) == (np.int64, expected)


@pytest.mark.parametrize(
    ("dataset", "column", "message"),
    [
        ([(1, 2)], 2, "examples have no column 2; they have 2 columns"),
        ([(1, 2)], "who", 'examples have no column "who"; they have 2 columns'),
        ([{"x": 1}], "who", r"no column \"who\"; they have keys \['x'\]"),
        ([(0.5,)], 0, "the column 0 has to hold whole numbers or texts; found 0.5"),
        ([(torch.zeros(3),)], 0, "whole numbers or texts; found a Tensor"),
        ([(None,)], 0, "found a NoneType"),
    ],
)
def test_what_is_no_class_is_told(dataset: Any, column: int | str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        column_codes(dataset, column)


def test_what_the_dataset_raises_names_the_example() -> None:
    with pytest.raises(UserCodeError, match="example 0"):
        column_codes(Broken(), 0)
