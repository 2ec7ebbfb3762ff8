"""A dataset whose examples are made once, and cut from a table ever after."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from torchassistant.collators import DefaultCollator
from torchassistant.config import size_text
from torchassistant.data.cache.cache_source import NotCached, Source
from torchassistant.data.cache.table import Table
from torchassistant.data.cache.values import Unstorable
from torchassistant.data.datasets import laid_around
from torchassistant.data.workers import abandonable
from torchassistant.errors import DataError
from torchassistant.messages import logger_for

_log = logger_for(__name__)

_collate = DefaultCollator()


class Store(Protocol):
    """Where a table is kept: see ``MemoryStore`` and ``DiskStore``."""

    where: str

    def table(self, source: Source, shown: Any) -> Table:
        """The examples of a dataset, read now or before."""


class CachedDataset(Dataset[Any]):
    """Gives what a dataset gives, from a table that :meth:`fill` makes; until then, from itself.

    Examples are those of the dataset, in type and in bits, with memory of their own. What else the
    dataset has can be had here too.

    Args:
        dataset: Gives examples by index, the same ones in every epoch.
        store: Makes and keeps the table.
        name: The name of the definition, for messages.
    """

    def __init__(self, dataset: Any, store: Store, name: str) -> None:
        self.dataset = dataset
        self.store = store
        self.name = name
        self.table: Table | None = None
        self._is_given_up = False

    def __len__(self) -> int:
        return len(self.dataset if self.table is None else self.table)

    def __getitem__(self, index: int) -> Any:
        return (self.dataset if self.table is None else self.table)[index]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several examples."""
        whole = getattr(self.dataset, "__getitems__", None)
        if self.table is None and callable(whole):
            return whole(indices)
        return [self[index] for index in indices]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def columns_at(self, indices: Sequence[int]) -> list[Any] | dict[Any, Any]:
        """What ``DefaultCollator`` makes of some examples.

        Raises:
            DataError: They cannot be collated.
        """
        if self.table is None:
            return _collate(self.__getitems__(indices))
        return self.table.batch(indices)

    def columns_at_rows(self, indices: Tensor) -> list[Any] | dict[Any, Any]:
        """The same.

        Args:
            indices: int64 (B,), each from 0 to N - 1.
        """
        if self.table is None:
            return _collate(self.__getitems__(indices.tolist()))
        return self.table.rows(indices)

    def fill(self) -> None:
        """Make the table, in this process, unless that was done or given up before.

        Raises:
            DataError: The examples are random, or of a kind that is not stored.
            UserCodeError: The dataset raised.
        """
        if self.table is not None or self._is_given_up:
            return
        for inner in caches_in(self.dataset):
            inner.fill()
        start = time.monotonic()
        try:
            with abandonable():
                self.table = self.store.table(Source(self.dataset, self.name), self._shown)
        except NotCached as why:
            self._is_given_up = True
            _log.warning(f'the dataset "{self.name}" is not cached, but read in every epoch: {why}')
        except Unstorable as what:
            raise DataError(
                f'the dataset "{self.name}" cannot be cached: {what}; tensors, arrays, numbers, '
                "texts, images, and lists and dicts of those can"
            ) from None
        else:
            self._log_filled(self.table, time.monotonic() - start)

    def _shown(self, indices: Iterable[int]) -> Iterable[int]:
        """The same indices, with a bar on a terminal."""
        if sys.stderr is None or not sys.stderr.isatty():
            return indices
        from tqdm import tqdm

        return tqdm(indices, desc=f'caching "{self.name}"', leave=False, unit="")

    def _log_filled(self, table: Table, seconds: float) -> None:
        _log.info(
            f'the dataset "{self.name}" is cached {self.store.where}: {len(table)} examples, '
            f"{size_text(table.size)}, {seconds:.1f} s"
        )


def caches_in(dataset: Any) -> Iterator[CachedDataset]:
    """The outermost caches of a dataset that is laid around others."""
    if isinstance(dataset, CachedDataset):
        yield dataset
        return
    for inner in laid_around(dataset):
        yield from caches_in(inner)


def uncached(dataset: Any) -> Any:
    """The dataset itself, where this is a cache of it."""
    return dataset.dataset if isinstance(dataset, CachedDataset) else dataset
