"""Which process holds a record lock of a file; asking takes no lock."""

from __future__ import annotations

import fcntl
import os
import struct
import sys


def lock_holder(handle: int) -> int | None:
    """The process that has locked a file for itself, where the system tells; else None.

    Args:
        handle: Of the file, open in any way.
    """
    if sys.platform == "linux":
        # struct flock: type, whence, start, length, process.
        layout = "hhqqi"
        asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = struct.unpack(layout, fcntl.fcntl(handle, fcntl.F_GETLK, asked))
        if found[0] != fcntl.F_UNLCK and found[4] > 0:
            return int(found[4])
    return None
