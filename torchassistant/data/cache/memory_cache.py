"""A cache in memory that the process and its loader workers share.

Workers that are copies of the process see its pages, which nobody writes to any more. Workers that
are not are handed the buffers by torch, which moves them to shared memory then, once for all. So
that memory, of which containers have little, is taken by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from torchassistant.config import size_text
from torchassistant.data.cache.cache_source import NotCached, Source
from torchassistant.data.cache.table import Column, Table
from torchassistant.data.cache.table_writer import TableWriter

DEFAULT_LIMIT = 4 * 10**9
"""Bytes."""

Shown = Callable[[Iterable[int]], Iterable[int]]
"""What shows the progress of an iteration."""


class MemoryStore:
    """Keeps a table in memory, for as long as the process lives.

    Args:
        limit: The most bytes that a dataset may take.
    """

    where = "in memory"

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit or DEFAULT_LIMIT

    def table(self, source: Source, shown: Shown) -> Table:
        """The examples of a dataset, each read once.

        Raises:
            NotCached: They need more than the limit.
            Unstorable: An example is of a kind that is not stored.
        """
        count = len(source)
        buffers: list[_Buffer] = []

        def new_buffer(number: int) -> _Buffer:
            buffers.append(_Buffer(count, self.limit))
            return buffers[-1]

        writer = TableWriter(new_buffer)
        for example in source.examples(shown(range(count))):
            writer.add(example)
            if writer.size > self.limit:
                raise NotCached(over(writer, count, self.limit))
        columns = [
            Column(column.layouts, buffer.whole(), *(column.cuts() or ()))
            for column, buffer in zip(writer.columns, buffers, strict=True)
        ]
        return Table(writer.form, columns, count)


def over(writer: TableWriter, count: int, limit: int) -> str:
    """Which limit was reached, and how."""
    return (
        f"{writer.count} of its {count} examples take {size_text(writer.size)}, and cache_limit is "
        f"{size_text(limit)}"
    )


class _Buffer:
    """Memory that grows.

    Args:
        count: So many values are expected; the first one tells about how large they are.
        limit: More bytes than these are not wanted.
    """

    def __init__(self, count: int, limit: int) -> None:
        self.count = count
        self.limit = limit
        self.memory = _empty(0)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add the bytes of a value."""
        end = self.size + len(data)
        if end > len(self.memory):
            guess = self.count * len(data) if not self.size else 2 * end
            self._grow(max(end, min(guess, self.limit)))
        self.memory.numpy()[self.size : end] = np.frombuffer(data, np.uint8)
        self.size = end

    def whole(self) -> Tensor:
        """All that was written, uint8 (bytes,)."""
        if self.size < len(self.memory):
            self._grow(self.size)
        return self.memory

    def _grow(self, size: int) -> None:
        before = self.memory
        self.memory = _empty(size)
        kept = min(self.size, size)
        self.memory[:kept] = before[:kept]


def _empty(size: int) -> Tensor:
    try:
        return torch.empty(size, dtype=torch.uint8)
    except RuntimeError as error:
        raise NotCached(f"{size_text(size)} of memory are not available ({error})") from None
