"""Files of MNIST and its kin, which are read into memory as a whole: how large they may be."""

from __future__ import annotations

import math
import os
import re
import struct
from pathlib import Path

from torchassistant.config import machine_memory, size_text
from torchassistant.errors import UserError, shown_path
from torchassistant.files import InvalidFile, open_regular

_NAME = re.compile(r".+-idx\d-(ubyte|int)")
_BYTES = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}
"""What an element of each type takes."""


def expect_sound(folder: Path) -> None:
    """Expect each file of a folder to be as large as its header says, and to fit into memory.

    Raises:
        UserError: One is not.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if _NAME.fullmatch(path.name) and path.is_file():
            try:
                _expect_sound(path.resolve())
            except InvalidFile as error:
                raise UserError(f"{shown_path(folder)}/{path.name} {error}") from None


def _expect_sound(path: Path) -> None:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        kind, axes = struct.unpack(">HBB", file.read(4).ljust(4, b"\0"))[1:]
        head = file.read(4 * axes)
    if kind not in _BYTES or len(head) != 4 * axes:
        raise InvalidFile("is not a file of the idx format")
    shape = struct.unpack(f">{axes}I", head)
    wanted = 4 + len(head) + math.prod(shape) * _BYTES[kind]
    if wanted != size:
        claim = f"{' x '.join(map(str, shape))} values, which take {size_text(wanted)}"
        raise InvalidFile(f"is broken: its header tells of {claim}, and it has {size_text(size)}")
    if size > machine_memory():
        raise InvalidFile(f"has {size_text(size)}, which is more than this machine's memory")
