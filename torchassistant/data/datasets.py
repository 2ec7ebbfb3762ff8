"""Datasets over datasets: with preprocessors, or one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, cast

from torch.utils.data import Dataset, Subset

from torchassistant.errors import DataError

Process = Callable[[Any], Any]


def as_columns(example: Any) -> tuple[Any, ...]:
    """An example as a tuple of columns; anything but a tuple or list is one column."""
    return tuple(example) if isinstance(example, (tuple, list)) else (example,)


def laid_around(dataset: Any) -> list[Any]:
    """The datasets that a dataset gives the examples of, ours and others."""
    several = getattr(dataset, "datasets", ())
    inner = [getattr(dataset, "dataset", None), *(several if isinstance(several, list) else ())]
    return [item for item in inner if item is not None]


def gives_many(dataset: Any) -> bool:
    """Whether a dataset gives several examples at once, and not by being asked for each."""
    if isinstance(dataset, PreprocessedDataset) or type(dataset) is Subset:
        return gives_many(dataset.dataset)
    if isinstance(dataset, MergedDataset):
        return any(map(gives_many, dataset.datasets))
    return callable(getattr(dataset, "__getitems__", None))


def examples_at(dataset: Any, indices: Sequence[int]) -> Iterable[Any]:
    """Examples in the order of their indices: all at once, or each when it is asked for."""
    if gives_many(dataset):
        return cast(Iterable[Any], dataset.__getitems__(indices))
    return (dataset[index] for index in indices)


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

    @property
    def preprocessors(self) -> list[Any]:
        """The objects whose methods the processes are; a function is itself, None stays."""
        return [getattr(process, "__self__", process) for process in self.processes]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._processed(self.dataset[index])

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        return [self._processed(example) for example in examples_at(self.dataset, indices)]

    def _processed(self, example: Any) -> tuple[Any, ...]:
        columns = list(as_columns(example))
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
        which, inside = self._place(index)
        return self.datasets[which][inside]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        places = [self._place(index) for index in indices]
        if not gives_many(self):
            return [self.datasets[which][inside] for which, inside in places]
        asked: dict[int, list[int]] = {}
        for which, inside in places:
            asked.setdefault(which, []).append(inside)
        given = {w: iter(self._given(w, inside)) for w, inside in asked.items()}
        return [next(given[which]) for which, _ in places]

    def _given(self, which: int, inside: Sequence[int]) -> list[Any]:
        found = list(examples_at(self.datasets[which], inside))
        if len(found) != len(inside):
            raise DataError(
                f"{len(inside)} examples were asked of a merged dataset at once; it gave "
                f"{len(found)}"
            )
        return found

    def _place(self, index: int) -> tuple[int, int]:
        """Which dataset an example is of, and its index there."""
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of {len(self)} examples")
        which = bisect_right(self.ends, index)
        return which, index - (self.ends[which - 1] if which else 0)
