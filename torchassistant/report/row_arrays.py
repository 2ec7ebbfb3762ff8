"""Large tensors of predictions, in the ``.npz`` beside their table, read without NumPy."""

from __future__ import annotations

import ast
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

from torchassistant.report.images import is_image

_MAGIC = b"\x93NUMPY\x01\x00"
_LONGEST_HEADER = 1 << 12
_CODES = {
    "f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b",
    "u8": "Q", "u4": "I", "u2": "H", "u1": "B", "b1": "B",
}  # fmt: skip


class Image(NamedTuple):
    """A tensor of an example that is one.

    Args:
        shape: (C, H, W).
        numbers: Row by row.
    """

    shape: Sequence[int]
    numbers: Sequence[float]


def images_of_rows(table: Path, rows: Sequence[int]) -> dict[int, dict[str, Image]]:
    """The tensors of some rows that are images, by row and column.

    Args:
        table: The CSV file; its tensors have its name, and end in ``.npz``.
        rows: Their places in the table.

    Returns:
        What could be read: without the file, nothing.
    """
    found: dict[int, dict[str, Image]] = {row: {} for row in rows}
    try:
        with zipfile.ZipFile(table.with_suffix(".npz")) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    for row, image in _images(file, sorted(rows)):
                        found[row][name.removesuffix(".npy")] = image
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, SyntaxError):
        pass
    except (struct.error, NotImplementedError, RuntimeError, EOFError, MemoryError):
        pass
    return found


def _images(file: IO[bytes], rows: Sequence[int]) -> Iterator[tuple[int, Image]]:
    """Those of one array; none of one whose rows are something else."""
    if file.read(len(_MAGIC)) != _MAGIC:
        return
    length = int.from_bytes(file.read(2), "little")
    if length > _LONGEST_HEADER:
        return
    header: Mapping[str, object] = ast.literal_eval(file.read(length).decode("latin-1"))
    described, shape = str(header["descr"]), header["shape"]
    code = _CODES.get(described[1:])
    if code is None or described[0] not in "<|" or header["fortran_order"] is not False:
        return
    if not isinstance(shape, tuple) or not all(isinstance(size, int) for size in shape):
        return
    count, *of_row = shape
    if not is_image(of_row):
        return
    form = f"<{prod(of_row)}{code}"
    size, begin = struct.calcsize(form), file.tell()
    for row in rows:
        if row < count:
            file.seek(begin + row * size)
            yield row, Image(of_row, struct.unpack(form, file.read(size)))
