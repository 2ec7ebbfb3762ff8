"""What the preprocessors that learn from a dataset have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from torchassistant.errors import DataError


def checked_column(column: int, from_end: bool = False) -> int:
    """The column itself.

    Args:
        column: The index of a column.
        from_end: Whether it may be negative, and count from the end then.

    Raises:
        ValueError: It is no index.
    """
    if type(column) is not int or (column < 0 and not from_end):
        counted = "" if from_end else ", counted from 0"
        raise ValueError(f"column must be an index{counted}; found {column!r}")
    return column


def column_of(dataset: Any, column: int, owner: str) -> Iterator[Any]:
    """The values of one column of all examples of a dataset, in order.

    Args:
        dataset: A sequence or an iterable of examples.
        column: From 0, or, negative, from the end.
        owner: The class that is fitted, for messages.

    Raises:
        DataError: The dataset is empty, or an example does not have the column.
    """
    index = -1
    for index, example in enumerate(_examples(dataset)):
        columns = example if isinstance(example, tuple | list) else (example,)
        if not -len(columns) <= column < len(columns):
            raise DataError(
                f"there is no column {column} to fit on: example {index} has "
                f"{len(columns)}, counted from 0"
            )
        yield columns[column]
    if index < 0:
        raise DataError(f"{owner} cannot be fitted on a dataset without examples")


def _examples(dataset: Any) -> Iterator[Any]:
    # Many datasets have a length but never raise IndexError, so they cannot be iterated.
    is_stream = isinstance(dataset, IterableDataset)  # which has the methods, and cannot use them
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not is_stream:
        yield from (dataset[index] for index in range(len(dataset)))
    else:
        yield from dataset


def alike(
    values: Iterable[Tensor], feature: Callable[[Tensor], Any], complaint: str
) -> Iterator[Tensor]:
    """The values, as long as they have the feature of the first.

    Args:
        values: One an example, in order.
        feature: What must be the same.
        complaint: How the message begins, as ``the images differ in channels``.

    Raises:
        DataError: The feature of a value is another one.
    """
    first = None
    for index, value in enumerate(values):
        found = feature(value)
        if index == 0:
            first = found
        if found != first:
            raise DataError(
                f"{complaint}: {first} in the first, {found} in example {index}, counted from 0"
            )
        yield value


class Moments:
    """Count, mean and sum of squared deviations of each element, over blocks of values.

    Blocks are joined by the update of T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for
    computing the sample variance", The American Statistician 37(3), 1983, which does not lose the
    variance of values with a large mean that differ little.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._squares = torch.zeros((), dtype=torch.float64)

    @classmethod
    def over(cls, parts: Iterable[Tensor], at_once: int) -> Moments:
        """The moments over all parts.

        Args:
            parts: Tensors (..., N_i), the same but for the N_i, which may be 0.
            at_once: How many values are gathered before they are computed with.
        """
        moments = cls()
        block: list[Tensor] = []
        size = 0
        for part in parts:
            block.append(part)
            size += part.shape[-1]
            if size >= at_once:
                moments.add(torch.cat(block, dim=-1))
                block, size = [], 0
        if size:
            moments.add(torch.cat(block, dim=-1))
        return moments

    def add(self, values: Tensor) -> None:
        """Take in a block of values (..., N), N at least 1."""
        new = values.shape[-1]
        variance, mean = torch.var_mean(values.double(), dim=-1, correction=0)
        total = self.count + new
        distance = mean - self.mean
        self.mean = self.mean + distance * (new / total)
        self._squares = self._squares + variance * new + distance**2 * (self.count * new / total)
        self.count = total

    def std(self) -> Tensor:
        """The standard deviations of the whole population, float64 (...)."""
        return (self._squares / self.count).sqrt()


class Normalizer:
    """A mean and a standard deviation, and how they are kept.

    Args:
        column: The column that they are of.
    """

    def __init__(self, column: int) -> None:
        self.column = column
        self.mean: Tensor | None = None
        self.std: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """``mean`` and ``std``: float64 tensors of one shape, or None before ``fit``."""
        return {"mean": self.mean, "std": self.std}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            DataError: ``mean`` or ``std`` is missing.
        """
        check_keys(type(self).__name__, state, ("mean", "std"))
        if state["mean"] is None or state["std"] is None:
            self.mean = self.std = None
            return
        self._set(
            torch.as_tensor(state["mean"], dtype=torch.float64),
            torch.as_tensor(state["std"], dtype=torch.float64),
        )

    def _set(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std = mean, std
        self._scale = torch.where(std == 0, 1.0, std)

    def _fitted_mean(self) -> Tensor:
        if self.mean is None:
            raise DataError(
                f"{type(self).__name__} has no mean and standard deviation yet: "
                'its "fit" must name the dataset to learn them from'
            )
        return self.mean


def check_keys(owner: str, state: Mapping[str, Any], keys: Iterable[str]) -> None:
    """See to it that a stored state has all keys.

    Raises:
        DataError: It lacks some.
    """
    missing = [key for key in keys if key not in state]
    if missing:
        raise DataError(
            f"the stored state of {owner} lacks {', '.join(missing)}; found {', '.join(state)}"
        )
