"""A cache on disk: files that every process maps into its memory, found by what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import tee
from pathlib import Path
from random import Random

from torchassistant.config import size_text
from torchassistant.data.cache.cache_folder import CacheFolder, created, sync
from torchassistant.data.cache.cache_source import NotCached, Source
from torchassistant.data.cache.entry import LARGEST, BlockWriter, Entry, StoredColumn
from torchassistant.data.cache.file_stamps import stamps_of
from torchassistant.data.cache.mapped_table import MappedTable, opened
from torchassistant.data.cache.memory_cache import Shown, over
from torchassistant.data.cache.table import Table
from torchassistant.data.cache.table_writer import ColumnWriter, TableWriter
from torchassistant.files import InvalidFile
from torchassistant.messages import logger_for

_log = logger_for(__name__)

DEFAULT_LIMIT = 20 * 10**9
"""Bytes."""

_FORMAT = 2
_LOOKED_AT = 5
"""So many examples of an entry are made again at least, to see whether they are still the same."""
_ONE_IN = 100
"""Of so many examples one is made again, as long as there is time."""
_MOST_LOOKED_AT = 10_000
_SECONDS = 0.1


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
        with _not_cached_on_failure(self.folder.path):
            self.folder.check()
        key = self._key(len(source))
        found = self._found(self.folder.path / key, source, shown)
        if found is not None:
            return found
        with _not_cached_on_failure(self.folder.path), self.folder.aside() as (aside, handle):
            self._write(aside, handle, source, shown)
            try:
                made = self.folder.publish(aside, handle, key, self._opened)
            except InvalidFile as what:
                raise NotCached(f"what was written to {self.folder.path} is lost: {what}") from None
        if made is None:
            raise NotCached(f"what was written to {self.folder.path} cannot be read")
        return made

    def _found(self, entry: Path, source: Source, shown: Shown) -> MappedTable | None:
        """What is there from an earlier time, if it is intact and of this dataset."""
        try:
            found = self._opened(entry)
            if found is None:
                return None
            if _agrees(found, source):
                found.verify(shown)
                return found
            wrong = "holds other examples than the dataset gives"
        except InvalidFile as what:
            wrong = f"is not valid ({what}; in {entry})"
        _log.info(f'the cache of the dataset "{source.name}" on disk {wrong}, and is rebuilt')
        return None

    def _opened(self, entry: Path) -> MappedTable | None:
        return opened(entry, self.folder.limit)

    def _key(self, count: int) -> str:
        stamps = stamps_of(self.files, besides=self.folder.path)
        parts = [_FORMAT, sys.byteorder, count, self.identity, stamps]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _write(self, folder: Path, handle: int, source: Source, shown: Shown) -> None:
        """Write an entry; ``entry.json`` comes last, and makes one of it."""
        count, limit = len(source), self.folder.limit
        with _Files(folder) as files:
            writer = TableWriter(lambda number: files.new(f"{number}.data"))
            for example in source.examples(shown(range(count))):
                writer.add(example)
                if writer.size > limit:
                    raise NotCached(over(writer, count, limit))
                if writer.count == 1:
                    self.folder.make_room(min(count * writer.size, limit), folder)
            columns = [files.finished(*numbered) for numbered in enumerate(writer.columns)]
        text = Entry(writer.form, count, columns).as_bytes()
        if len(text) > LARGEST:
            raise NotCached(
                f"to say in what its examples differ takes {size_text(len(text))}, and "
                f"{size_text(LARGEST)} at most are kept"
            )
        with open(handle, "wb", closefd=False) as entry:
            entry.write(text)
        for file in folder.iterdir():
            sync(file)
        sync(folder)


@contextmanager
def _not_cached_on_failure(path: Path) -> Iterator[None]:
    """A full disk, or a folder that may not be written, must not end a training.

    What the dataset itself raises is another kind of error by then.
    """
    try:
        yield
    except OSError as error:
        raise NotCached(f"{path} cannot be written ({error.strerror or error})") from None


def _agrees(table: Table, source: Source) -> bool:
    """Whether a dataset still gives what is stored, as far as some examples show."""
    count = len(source)
    if len(table) != count:
        return False
    asked, places = tee(_places(count))
    pairs = zip(source.examples(asked), places, strict=True)
    # All of them, even after one that differs: only then it is known whether they are random.
    found = [table.holds(place, example) for example, place in pairs]
    return all(found)


def _places(count: int) -> Iterator[int]:
    """The first example, the last, and others that nobody knows beforehand."""
    # Not from the generator that the run goes on with.
    draw = Random(os.urandom(16))
    share = min(max(_LOOKED_AT, count // _ONE_IN), _MOST_LOOKED_AT, count)
    chosen = dict.fromkeys([0, count - 1, *draw.sample(range(count), share)])
    end = time.monotonic() + _SECONDS
    for number, place in enumerate(list(chosen)[:share]):
        if number >= _LOOKED_AT and time.monotonic() > end:
            return
        yield place


class _Files(ExitStack):
    """The files of an entry; left, they are closed.

    Args:
        folder: Holds them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._named: dict[str, BlockWriter] = {}

    def new(self, name: str) -> BlockWriter:
        """Make a file."""
        file = self.enter_context(os.fdopen(created(self.folder / name), "wb"))
        writer = self._named[name] = BlockWriter(file)
        return writer

    def finished(self, number: int, column: ColumnWriter) -> StoredColumn:
        """Finish the files of a column; where its values are cut is written to further ones."""
        data, cuts = self._named[f"{number}.data"].finish(), column.cuts()
        if cuts is None:
            return StoredColumn(column.layouts, data, None, None)
        codes, offsets = (self.new(f"{number}.{name}") for name in ("codes", "offsets"))
        codes.write(cuts[0].numpy().tobytes())
        offsets.write(cuts[1].numpy().tobytes())
        return StoredColumn(column.layouts, data, codes.finish(), offsets.finish())
