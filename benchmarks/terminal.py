"""A terminal that nobody looks at, so that bars are drawn as they are for a person."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


@contextmanager
def terminal(rows: int = 24, columns: int = 80) -> Iterator[TextIO]:
    """A pseudo-terminal, which a thread reads empty."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    reading = threading.Thread(target=_drain, args=(leader,), daemon=True)
    reading.start()
    try:
        with os.fdopen(follower, "w", buffering=1) as stream:
            yield stream
    finally:
        reading.join()
        os.close(leader)


def _drain(leader: int) -> None:
    # Where nobody holds the other end any more, Linux answers with an error.
    with suppress(OSError):
        while os.read(leader, 65536):
            pass
