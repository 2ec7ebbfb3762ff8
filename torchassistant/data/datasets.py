"""Datasets over datasets: with preprocessors, or one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from torch.utils.data import Dataset

from torchassistant.errors import DataError

Process = Callable[[Any], Any]


def as_columns(example: Any) -> tuple[Any, ...]:
    """An example as a tuple of columns; anything but a tuple or list is one column."""
    return tuple(example) if isinstance(example, (tuple, list)) else (example,)


class PreprocessedDataset(Dataset[tuple[Any, ...]]):
    """A dataset whose columns go through preprocessors.

    Args:
        dataset: Gives examples by index.
        processes: The i-th is for the i-th column; None leaves a column as it is.
        name: The name of the definition, for messages.
    """

    def __init__(self, dataset: Any, processes: Sequence[Process | None], name: str) -> None:
        self.dataset = dataset
        self.processes = list(processes)
        self.name = name

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        columns = list(as_columns(self.dataset[index]))
        if len(columns) < len(self.processes):
            raise DataError(
                f'the dataset "{self.name}" names {len(self.processes)} preprocessors, and its '
                f"examples have {len(columns)} columns"
            )
        for position, process in enumerate(self.processes):
            if process is not None:
                columns[position] = process(columns[position])
        return tuple(columns)


class MergedDataset(Dataset[Any]):
    """Several datasets, one after the other."""

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets = list(datasets)
        self.ends = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of {len(self)} examples")
        which = bisect_right(self.ends, index)
        return self.datasets[which][index - (self.ends[which - 1] if which else 0)]
