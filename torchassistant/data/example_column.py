"""One column of a dataset, as plain values, without keeping the rest of its examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from torchassistant.data.columnar import columns_of
from torchassistant.errors import DataError, blaming, with_article

_AT_ONCE = 4096
"""So many rows are cut from columns at once, so that wide ones need little memory."""


def column_codes(dataset: Any, column: int | str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """One column of a dataset as numbers that tell its values apart: int64 (N,).

    Args:
        dataset: Has a length, and is read by index; one that gives columns is not asked for
            examples.
        column: The place in an example, from 0, or its key.

    Raises:
        DataError: An example has no such column, or what stands there is no whole number and no
            text.
        UserCodeError: The dataset raised.
    """
    codes: dict[Any, int] = {}
    found = (_plain(value, column) for value in _values(dataset, column))
    numbers = (codes.setdefault(value, len(codes)) for value in found)
    return np.fromiter(numbers, dtype=np.int64)


def _values(dataset: Any, column: int | str) -> Iterator[Any]:
    count = len(dataset)
    columns_at = columns_of(dataset)
    if columns_at is None:
        for index in range(count):
            with blaming(f"example {index}"):
                example = dataset[index]
            yield _found(example, column)
        return
    for indices in torch.arange(count).split(_AT_ONCE):
        with blaming("columns_at"):
            columns = columns_at(indices)
        yield from _found(columns, column)


def _found(example: Any, column: int | str) -> Any:
    """What stands in an example, or in the columns of several."""
    if isinstance(example, torch.Tensor) or not isinstance(example, (Mapping, list, tuple)):
        example = (example,)
    try:
        return example[column]
    except (KeyError, IndexError, TypeError):
        has = f"keys {list(example)}" if isinstance(example, Mapping) else f"{len(example)} columns"
        raise DataError(f"examples have no column {_shown(column)}; they have {has}") from None


def _plain(value: Any, column: int | str) -> Any:
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and math.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) in (bool, int, str):
        return value
    found = str(value) if isinstance(value, float) else with_article(type(value).__name__)
    raise DataError(
        f"the column {_shown(column)} has to hold whole numbers or texts; found {found}"
    )


def _shown(column: int | str) -> str:
    return f'"{column}"' if isinstance(column, str) else str(column)
