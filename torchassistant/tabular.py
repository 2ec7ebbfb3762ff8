"""Preprocessors for the columns of tables: numbers and categories.

Configs name them in ``torchassistant.preprocessors``.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from torchassistant.errors import DataError, near
from torchassistant.fitting import (
    Moments,
    Normalizer,
    alike,
    check_keys,
    checked_column,
    column_of,
)

Category = str | int | bool

_VALUES_AT_ONCE = 64
"""How many values ``NumberNormalizer.fit`` gathers before it computes: enough that the fixed cost
of tensor operations does not show, and few enough for long vectors."""


class NumberNormalizer(Normalizer):
    """Brings numbers to mean 0 and standard deviation 1, as fitted on a dataset.

    A value is a number, or a list, array or tensor of numbers; each element of it has a mean and a
    standard deviation of its own. An example that is a list is one of several columns.

    Args:
        column: The column of the dataset that holds the numbers: from 0, or, negative, from the
            end.

    Raises:
        ValueError: ``column`` is no index.
    """

    def __init__(self, column: int = 0) -> None:
        super().__init__(checked_column(column, from_end=True))

    def fit(self, dataset: Any) -> None:
        """Take mean and standard deviation of each element over all values.

        One pass, in float64, over values as ``process`` takes them. The standard deviation is that
        of the whole population (divided by N).

        Raises:
            DataError: The dataset is empty, lacks the column, or holds something that is no number,
                NaN, infinity, or values of different shapes.
        """
        found = map(_fittable, enumerate(column_of(dataset, self.column, "NumberNormalizer")))
        values = alike(found, _shape, "the values differ in shape")
        moments = Moments.over((value.unsqueeze(-1) for value in values), _VALUES_AT_ONCE)
        self._set(moments.mean, moments.std())

    def process(self, value: Any) -> Tensor:
        """Normalise one value.

        Args:
            value: A number, or a list, array or tensor of numbers, of the shape (...) that was
                fitted.

        Returns:
            A float32 tensor (...): (value - mean) / std, element by element, computed in float64;
            the standard deviation of an element that never varies counts as 1. NaN stays NaN.

        Raises:
            DataError: Nothing was fitted yet, it is no number, or has another shape.
        """
        mean = self._fitted_mean()
        numbers = _numbers_of(value)
        if numbers.shape != mean.shape:
            raise DataError(
                f"NumberNormalizer was fitted on values of shape {_shape(mean)}, "
                f"found one of {_shape(numbers)}"
            )
        return numbers.sub(mean).div_(self._scale).float()


def _numbers_of(value: Any) -> Tensor:
    """A float64 tensor of the shape of a number, or of a list, array or tensor of numbers."""
    import numpy as np

    if isinstance(value, Tensor) and not value.is_complex():
        return value.detach().cpu().double()
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected numbers, found what cannot be an array: {error}") from None
    if numbers.dtype.kind not in "biuf":
        raise DataError(
            "expected a number, or a list, array or tensor of numbers, "
            f"found {type(value).__name__} of {numbers.dtype}"
        )
    return torch.from_numpy(numbers.astype(np.float64, order="C"))


def _fittable(numbered: tuple[int, Any]) -> Tensor:
    index, value = numbered
    numbers = _numbers_of(value)
    if numbers.numel() and numbers.isfinite().all():
        return numbers
    found = "NaN or infinity" if numbers.numel() else "a value without numbers"
    raise DataError(
        f"NumberNormalizer cannot be fitted on {found}: example {index}, counted from 0"
    )


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape)


class Categories:
    """Numbers the values of a column, texts, integers or booleans, as fitted on a dataset.

    The values are numbered from 0 in their order: texts by code point, False before True. All must
    be of one kind.

    Args:
        column: The column of the dataset that holds the values: from 0, or, negative, from the end.

    Raises:
        ValueError: ``column`` is no index.
    """

    def __init__(self, column: int = -1) -> None:
        self.column = checked_column(column, from_end=True)
        self._values: list[Category] | None = None
        self._indices: dict[Category, int] = {}

    def __len__(self) -> int:
        """How many different values there are."""
        return len(self._fitted())

    def fit(self, dataset: Any) -> None:
        """Collect the different values of a dataset.

        Raises:
            DataError: The dataset is empty, lacks the column, or holds a value that is no text,
                integer or boolean, or of another kind than the first.
        """
        values: set[Category] = set()
        kind: type | None = None
        for found in map(_category_of, column_of(dataset, self.column, "Categories")):
            kind = kind or type(found)
            _check_kind(found, kind)
            values.add(found)
        self._set(sorted(values))

    def process(self, value: Any) -> int:
        """The number of a value, 0 to K - 1, where K values were fitted.

        Args:
            value: A text, an integer or a boolean; one inside a scalar array or tensor too.

        Raises:
            DataError: Nothing was fitted yet, or the value did not occur then.
        """
        known = self._fitted()
        found = _category_of(value)
        _check_kind(found, type(known[0]))
        try:
            return self._indices[found]
        except KeyError:
            raise DataError(
                f'Categories was fitted without the value "{found}"'
                + near(str(found), map(str, known))
            ) from None

    def decode(self, index: int | Tensor) -> Category:
        """The value of a number.

        Args:
            index: An integer, or an integer tensor of one element.

        Raises:
            DataError: Nothing was fitted yet, or it is not the number of a value.
        """
        known = self._fitted()
        try:
            number = operator.index(index)
        except TypeError:
            number = -1
        if not 0 <= number < len(known):
            raise DataError(
                f"{index} is not the number of a value: they run from 0 to {len(known) - 1}"
            )
        return known[number]

    def state_dict(self) -> dict[str, Any]:
        """``values``: the list of the values in their order, or None before ``fit``."""
        return {"values": None if self._values is None else list(self._values)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            DataError: ``values`` is missing.
        """
        check_keys("Categories", state, ("values",))
        values = state["values"]
        self._set(None if values is None else list(values))

    def _set(self, values: list[Category] | None) -> None:
        self._values = values
        self._indices = {value: index for index, value in enumerate(values or ())}

    def _fitted(self) -> list[Category]:
        if self._values is None:
            raise DataError(
                'Categories has no values yet: its "fit" must name the dataset to collect them from'
            )
        return self._values


def _category_of(value: Any) -> Category:
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if type(value) not in (str, int, bool):
        raise DataError(
            f"Categories needs texts, integers or booleans, found {type(value).__name__}"
        )
    return value


def _check_kind(value: Category, kind: type) -> None:
    # True and 1 are equal, so a set or dict would not tell them apart.
    if type(value) is not kind:
        raise DataError(
            "Categories needs values of one kind: "
            f"found {type(value).__name__} where others are {kind.__name__}"
        )
