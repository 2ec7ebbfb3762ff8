"""Only one writes the run of a session at a time: two would both add what both find missing."""

from __future__ import annotations

import fcntl
import os

from torchassistant.errors import SessionError, shown_path

_held: set[str] = set()
"""Files locked by this process: the system does not stop a process from locking twice."""


class SoleWriter:
    """Holds a lock from its making until it is released, or the process ends.

    It is a record lock of the system, which processes that are forked do not inherit.

    Args:
        file: Is made where it is missing.

    Raises:
        SessionError: Another holds it.
        OSError: It cannot be made.
    """

    def __init__(self, file: str) -> None:
        self.file = os.path.realpath(file)
        busy = f"{shown_path(os.path.dirname(file))} is being written by another run or command"
        if self.file in _held:
            raise SessionError(busy)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle = os.open(file, flags, 0o666)
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise SessionError(busy) from None
        _held.add(self.file)

    def release(self) -> None:
        """Let others write."""
        _held.discard(self.file)
        os.close(self._handle)
