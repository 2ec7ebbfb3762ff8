"""What an entry on disk says of itself, as ``entry.json``: written, and read again with suspicion.

Nothing that it says is used before it was held against what a writer can have written: a closed
list of layouts, sizes that agree with the number of examples, a digest for each block of a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from torchassistant.data.cache.layouts import is_count, layout_of
from torchassistant.data.cache.table import Form
from torchassistant.data.cache.values import Layout
from torchassistant.files import InvalidFile, parsed_json

BLOCK = 4 * 2**20
"""Bytes that have a digest of their own; the last block of a file may be shorter."""

_PIECE = 2**18
"""Bytes that are written at once; a block is a multiple of it."""

LARGEST = 2**28
"""Bytes of an ``entry.json``."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredFile:
    """A file of a column.

    Args:
        size: Its bytes.
        blocks: The digest of each block.
    """

    size: int
    blocks: Sequence[str]


@dataclass(frozen=True)
class StoredColumn:
    """A column: see :class:`~torchassistant.data.cache.table.Column`.

    Args:
        layouts: Every layout that occurs.
        data: The bytes of its values.
        codes: The layout of each value; None where there is but one layout.
        offsets: Where each value begins, and the end; None likewise.
    """

    layouts: Sequence[Layout]
    data: StoredFile
    codes: StoredFile | None
    offsets: StoredFile | None

    @property
    def files(self) -> dict[str, StoredFile]:
        """Its files, by the endings of their names."""
        found = {"data": self.data, "codes": self.codes, "offsets": self.offsets}
        return {name: file for name, file in found.items() if file is not None}


@dataclass(frozen=True)
class Entry:
    """All that is said of the files of an entry.

    Args:
        form: What holds the columns of an example.
        count: The number of examples.
        columns: In the order of an example.
    """

    form: Form
    count: int
    columns: Sequence[StoredColumn]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for column in self.columns for file in column.files.values())

    def as_bytes(self) -> bytes:
        """The text of ``entry.json``."""
        content = _text(self)
        return f'{{"content": {content}, "digest": "{_digest(content)}"}}'.encode()


class BlockWriter:
    """Writes a file, with a digest of each block.

    Args:
        file: Is open, and empty.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._size = 0
        self._digests: list[str] = []
        self._block = hashlib.sha256()
        self._rest = bytearray()

    def write(self, data: bytes) -> None:
        """Add bytes, few or many."""
        self._rest += data
        while len(self._rest) >= _PIECE:
            self._pass_on(bytes(self._rest[:_PIECE]))
            del self._rest[:_PIECE]

    def finish(self) -> StoredFile:
        """Write what is left; says what there is to be said of the file."""
        self._pass_on(bytes(self._rest))
        if self._size % BLOCK:
            self._digests.append(self._block.hexdigest())
        self.file.close()
        return StoredFile(self._size, self._digests)

    def _pass_on(self, piece: bytes) -> None:
        self.file.write(piece)
        self._block.update(piece)
        self._size += len(piece)
        if piece and self._size % BLOCK == 0:
            self._digests.append(self._block.hexdigest())
            self._block = hashlib.sha256()


def entry_of(data: bytes) -> Entry:
    """The entry that an ``entry.json`` describes.

    Args:
        data: Its text.

    Raises:
        InvalidFile: Nothing of ours has written it.
    """
    outer = _fields(parsed_json(data), "content", "digest")
    content = _fields(outer["content"], "form", "count", "columns")
    if outer["digest"] != _digest(_text(content)):
        raise InvalidFile("is not what was written")
    count, columns = content["count"], content["columns"]
    if not is_count(count) or not isinstance(columns, list):
        raise InvalidFile("has no number of examples, or no columns")
    form = _form_of(content["form"], count, len(columns))
    return Entry(form, count, [_column_of(column, count) for column in columns])


def _form_of(data: Any, count: int, width: int) -> Form:
    """What holds so many columns; nothing where there are no examples."""
    match data:
        case [] if not count and not width:
            return ()
        case ["value"] if count and width == 1:
            return ("value",)
        case ["tuple" | "list" as kind, int(number)] if count and number == width:
            return kind, width
        case ["dict", *names] if count and len(names) == width:
            if all(isinstance(name, str) for name in names) and len(set(names)) == width:
                return "dict", *names
    raise InvalidFile(f"has examples of an unknown form, of {width} columns")


def _column_of(data: Any, count: int) -> StoredColumn:
    """What is said of a column of so many values."""
    found = _fields(data, "layouts", "data", "codes", "offsets")
    if not isinstance(found["layouts"], list) or not 1 <= len(found["layouts"]) <= count:
        raise InvalidFile(f"has a column without layouts, or with more than its {count} values")
    layouts = [layout_of(layout) for layout in found["layouts"]]
    column = StoredColumn(
        layouts,
        _file_of(found["data"]),
        None if found["codes"] is None else _file_of(found["codes"]),
        None if found["offsets"] is None else _file_of(found["offsets"]),
    )
    sizes = {name: file.size for name, file in column.files.items()}
    if len(layouts) == 1:
        expected = {"data": count * layouts[0][1]}
    else:
        expected = {"data": column.data.size, "codes": 4 * count, "offsets": 8 * (count + 1)}
    if sizes != expected:
        raise InvalidFile(f"has a column whose files cannot hold {count} values")
    return column


def _file_of(data: Any) -> StoredFile:
    found = _fields(data, "size", "blocks")
    size, blocks = found["size"], found["blocks"]
    if not is_count(size) or not isinstance(blocks, list) or len(blocks) != -(-size // BLOCK):
        raise InvalidFile("has a file without a digest for each block")
    if not all(isinstance(block, str) and _DIGEST.fullmatch(block) for block in blocks):
        raise InvalidFile("has an invalid digest")
    return StoredFile(size, blocks)


def _fields(data: Any, *names: str) -> Mapping[str, Any]:
    """An object of JSON that has just these fields."""
    if not isinstance(data, dict) or data.keys() != set(names):
        raise InvalidFile(f"has something else where {', '.join(names)} belong")
    return data


def _text(content: Any) -> str:
    return json.dumps(content, default=vars)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
