"""A cache on disk: files that every process maps into its memory, found by what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchassistant.data.cache.files import stamps_of
from torchassistant.data.cache.folder import CacheFolder, hold, sync
from torchassistant.data.cache.memory import Shown, over
from torchassistant.data.cache.source import NotCached, Source
from torchassistant.data.cache.table import Column, Table
from torchassistant.data.cache.writer import ColumnWriter, TableWriter
from torchassistant.errors import say

DEFAULT_LIMIT = 20 * 10**9
"""Bytes."""

_FORMAT = 1
_LOOKED_AT = 5
"""So many examples of an entry are made again, to see whether they are still the same."""
_LARGEST = 2**30
"""Bytes of an ``entry.json`` that is read at all."""


class DiskStore:
    """Keeps tables in a folder, for this process and later ones.

    Args:
        path: The folder.
        limit: The most bytes that all its entries may take.
        identity: What the examples follow from, as a text: definitions, code, versions.
        files: Files and folders that the examples may be read from.
    """

    where = "on disk"

    def __init__(
        self, path: Path, limit: int | None, identity: str, files: Sequence[str] = ()
    ) -> None:
        self.folder = CacheFolder(path.absolute(), limit or DEFAULT_LIMIT)
        self.identity = identity
        self.files = tuple(files)

    def table(self, source: Source, shown: Shown) -> Table:
        """The examples of a dataset, from an earlier time or read now, each once.

        Raises:
            NotCached: They need more than the limit, or they cannot be written.
            DataError: They are random.
            Unstorable: An example is of a kind that is not stored.
        """
        key = self._key(len(source))
        found = opened(self.folder.path / key)
        if found is not None and _agrees(found, source):
            return found
        if found is not None:
            say(
                f'the cache of the dataset "{source.name}" on disk holds other examples than the '
                "dataset gives, and is made again"
            )
        with _told_of(self.folder.path), self.folder.aside() as (aside, handle):
            self._write(aside, handle, source, shown)
            made = self.folder.publish(aside, handle, key, opened)
        if made is None:
            raise NotCached(f"what was written to {self.folder.path} cannot be read")
        return made

    def _key(self, count: int) -> str:
        stamps = stamps_of(self.files, besides=self.folder.path)
        parts = [_FORMAT, sys.byteorder, count, self.identity, stamps]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _write(self, folder: Path, handle: int, source: Source, shown: Shown) -> None:
        """Write an entry; ``entry.json`` comes last, and makes one of it."""
        count, limit = len(source), self.folder.limit
        with ExitStack() as files:
            writer = TableWriter(lambda number: _File(folder / f"{number}.data", files))
            for example in source.examples(shown(range(count))):
                writer.add(example)
                if writer.size > limit:
                    raise NotCached(over(writer, count, limit))
                if writer.count == 1:
                    self.folder.make_room(min(count * writer.size, limit), folder)
        columns = [_described(folder, n, column) for n, column in enumerate(writer.columns)]
        for file in folder.glob("*.*"):
            sync(file)
        content = {"form": writer.form, "count": count, "columns": columns}
        with open(handle, "wb", closefd=False) as entry:
            entry.write(json.dumps({"content": content, "digest": _digest(content)}).encode())
            entry.flush()
            os.fsync(handle)
        sync(folder)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """A full disk, or a folder that may not be written, must not end a training.

    What the dataset itself raises is another kind of error by then.
    """
    try:
        yield
    except OSError as error:
        raise NotCached(f"{path} cannot be written ({error.strerror or error})") from None


def _agrees(table: Table, source: Source) -> bool:
    """Whether a dataset still gives what is stored, as far as some examples tell."""
    count = len(table)
    places = sorted({number * (count - 1) // (_LOOKED_AT - 1) for number in range(_LOOKED_AT)})
    examples = list(source.examples(places if count else []))
    return all(map(table.holds, places, examples))


class _File:
    """A file of a column."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        self.file = files.enter_context(path.open("wb", buffering=1 << 20))

    def write(self, data: bytes) -> None:
        """Add the bytes of a value."""
        self.file.write(data)


def _described(folder: Path, number: int, column: ColumnWriter) -> dict[str, Any]:
    """What an entry says of a column; where its values are cut is written to files."""
    cuts = column.cuts()
    if cuts is not None:
        for name, values in zip(("codes", "offsets"), cuts, strict=True):
            (folder / f"{number}.{name}").write_bytes(values.numpy().tobytes())
    return {"layouts": column.layouts, "bytes": column.size, "cut": cuts is not None}


class MappedTable(Table):
    """A table over the files of an entry; a copy in another process maps them again."""

    def __init__(self, folder: Path, content: dict[str, Any], handle: int) -> None:
        count = content["count"]
        columns = [
            _mapped(folder, number, column, count)
            for number, column in enumerate(content["columns"])
        ]
        super().__init__(_as_tuples(content["form"]), columns, count)
        self.folder = folder
        # While the descriptor is open, nobody removes the entry to make room.
        weakref.finalize(self, os.close, handle)

    def __reduce__(self) -> Any:
        return _opened_again, (self.folder,)


def opened(folder: Path) -> MappedTable | None:
    """The table of an entry; None where there is none, or it is damaged."""
    handle = hold(folder)
    if handle is None:
        return None
    try:
        with open(handle, "rb", closefd=False) as file:
            entry = json.loads(file.read(_LARGEST))
        if entry["digest"] != _digest(entry["content"]):
            raise ValueError("it is not what was written")
        return MappedTable(folder, entry["content"], handle)
    except (OSError, ValueError, LookupError, TypeError):
        os.close(handle)
        return None


def _opened_again(folder: Path) -> MappedTable:
    table = opened(folder)
    if table is None:
        raise OSError(f"the cache {folder} is gone")
    return table


def _mapped(folder: Path, number: int, column: dict[str, Any], count: int) -> Column:
    layouts = [_as_tuples(layout) for layout in column["layouts"]]
    data = _map(folder / f"{number}.data", column["bytes"], torch.uint8)
    if not column["cut"]:
        return Column(layouts, data)
    codes = _map(folder / f"{number}.codes", count, torch.int32)
    return Column(layouts, data, codes, _map(folder / f"{number}.offsets", count + 1, torch.int64))


def _map(file: Path, size: int, dtype: torch.dtype) -> Tensor:
    """The numbers of a file, in pages that all processes share; to change them changes no file.

    Raises:
        ValueError: The file has another size.
    """
    there, expected = file.stat().st_size, size * dtype.itemsize
    if there != expected:
        raise ValueError(f"{file} has {there} bytes instead of {expected}")
    if not size:
        return torch.empty(0, dtype=dtype)
    return torch.from_file(str(file), shared=False, size=size, dtype=dtype)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _as_tuples(value: Any) -> Any:
    """What JSON made lists of."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
