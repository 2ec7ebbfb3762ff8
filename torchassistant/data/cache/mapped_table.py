"""A table over the files of an entry, which every process maps into its memory."""

from __future__ import annotations

import hashlib
import mmap
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from torchassistant.config import size_text
from torchassistant.data.cache.cache_folder import ENTRY, hold, named, opened_own
from torchassistant.data.cache.entry import (
    BLOCK,
    LARGEST,
    Entry,
    StoredColumn,
    StoredFile,
    entry_of,
)
from torchassistant.data.cache.memory_cache import Shown
from torchassistant.data.cache.table import Column, Table
from torchassistant.files import InvalidFile

_DTYPES = {"data": torch.uint8, "codes": torch.int32, "offsets": torch.int64}
_AT_ONCE = 2**20
"""So many cuts are looked at at once."""


class MappedTable(Table):
    """A table over the files of an entry; a copy in another process maps them again.

    Args:
        folder: The entry.
        entry: What it says of itself.
        held: Its ``entry.json``, which keeps it from being removed; it is closed with the table.

    Raises:
        InvalidFile: A file, which it names, has another size than the entry says, or cuts where no
            value begins.
    """

    def __init__(self, folder: Path, entry: Entry, held: BinaryIO) -> None:
        self.folder = folder
        self.entry = entry
        self._mapped: list[tuple[str, StoredFile, Tensor]] = []
        columns = [self._column(number, column) for number, column in enumerate(entry.columns)]
        super().__init__(entry.form, columns, entry.count)
        weakref.finalize(self, held.close)

    def __reduce__(self) -> Any:
        return _opened_again, (self.folder, self.entry)

    def verify(self, shown: Shown) -> None:
        """Compare every block with its digest, on as many threads as torch computes with.

        Raises:
            InvalidFile: One is not what was written; its file is named.
        """
        blocks = [
            (name, whole.view(torch.uint8)[start : start + BLOCK], digest)
            for name, file, whole in self._mapped
            for start, digest in zip(range(0, file.size, BLOCK), file.blocks, strict=True)
        ]
        threads = ThreadPoolExecutor(torch.get_num_threads())
        try:
            found = threads.map(_digest, [data for _, data, _ in blocks])
            for number, digest in zip(shown(range(len(blocks))), found, strict=True):
                name, _, expected = blocks[number]
                if digest != expected:
                    raise InvalidFile(f"{name} is not what was written")
        finally:
            threads.shutdown(cancel_futures=True)

    def _column(self, number: int, column: StoredColumn) -> Column:
        found = {name: self._map(f"{number}.{name}", file) for name, file in column.files.items()}
        if column.offsets is not None:
            with named(f"{number}.offsets"):
                _expect_cuts(column, found["codes"], found["offsets"])
        return Column(column.layouts, **found)

    def _map(self, name: str, file: StoredFile) -> Tensor:
        """The numbers of a file, in pages that all share; to change them changes no file."""
        dtype = _DTYPES[name.rpartition(".")[2]]
        with named(name), opened_own(self.folder / name) as opened:
            size = os.fstat(opened.fileno()).st_size
            if size != file.size:
                raise InvalidFile(f"has {size} bytes instead of {file.size}")
            if not size:
                return torch.empty(0, dtype=dtype)
            writable = mmap.PROT_READ | mmap.PROT_WRITE
            pages = mmap.mmap(opened.fileno(), size, flags=mmap.MAP_PRIVATE, prot=writable)
        whole = torch.frombuffer(pages, dtype=dtype)
        self._mapped.append((name, file, whole))
        return whole


def opened(folder: Path, most: int) -> MappedTable | None:
    """The table of an entry, of which every size and place was checked; None where there is none.

    Args:
        folder: The entry.
        most: The most bytes that its files may have together.

    Raises:
        InvalidFile: It is nothing that a writer of ours has left there; the message names the file.
    """
    held = hold(folder, LARGEST)
    if held is None:
        return None
    try:
        with named(ENTRY):
            entry = entry_of(held.read(LARGEST))
            if entry.size > most:
                raise InvalidFile(
                    f"tells of {size_text(entry.size)}, and cache_limit is {size_text(most)}"
                )
        return MappedTable(folder, entry, held)
    except BaseException:
        held.close()
        raise


def _opened_again(folder: Path, entry: Entry) -> MappedTable:
    """The same table in another process, which need not look at each byte again."""
    try:
        held = hold(folder, LARGEST)
        if held is not None:
            return MappedTable(folder, entry, held)
    except InvalidFile as what:
        raise OSError(f"the cache {folder} was changed: {what}") from None
    raise OSError(f"the cache {folder} is gone")


def _expect_cuts(column: StoredColumn, codes: Tensor, offsets: Tensor) -> None:
    """Whether each value begins where the one before it ends, by the sizes of their layouts.

    Args:
        column: What is said of the column.
        codes: int32 (N,), the layout of each value.
        offsets: int64 (N + 1,), where each begins, and the end.

    Raises:
        InvalidFile: It is not so.
    """
    size, count = column.data.size, len(codes)
    sizes = torch.tensor([layout[1] for layout in column.layouts])
    ends = [int(offsets[0]), int(offsets[-1])]
    if ends != [0, size]:
        raise InvalidFile(f"leads from byte {ends[0]} to byte {ends[1]} of {size}")
    for start in range(0, count, _AT_ONCE):
        some = codes[start : start + _AT_ONCE]
        cuts = offsets[start : start + len(some) + 1]
        if int(some.min()) < 0 or int(some.max()) >= len(sizes):
            raise InvalidFile("refers to layouts that do not exist")
        if int(cuts.min()) < 0 or int(cuts.max()) > size:
            raise InvalidFile(f"leads out of its {size} bytes")
        if not torch.equal(cuts.diff(), sizes[some.long()]):
            raise InvalidFile("cuts values at other places than their layouts do")


def _digest(block: Tensor) -> str:
    return hashlib.sha256(block.numpy().data).hexdigest()
