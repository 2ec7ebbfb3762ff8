"""One trainer a session: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchassistant.errors import SessionError, shown_path
from torchassistant.files import InvalidFile, regular_handle
from torchassistant.lock_holder import lock_holder
from torchassistant.whole_files import naming

_held: set[str] = set()
"""Files locked by this process: the system does not stop a process from locking twice."""


@contextmanager
def only_trainer(file: Path) -> Iterator[None]:
    """Nobody else trains the session while this is held.

    It is a record lock of the system (``fcntl``): it ends when the process ends, however that
    happens, and loader workers, which are forked from it, do not inherit it. It would also end if
    this process closed another handle of the file: see :func:`is_held`.

    Args:
        file: A file of the session that is there already.

    Raises:
        SessionError: Somebody trains the session already; the message says who.
    """
    session, key = shown_path(file.parent), os.path.realpath(file)
    if key in _held:
        raise SessionError(f"{session} is being trained by this process already")
    handle = _opened(file)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SessionError(
                f"{session} is being trained by {_holder(handle) or 'another process'}"
            ) from None
        try:
            _held.add(key)
            yield
        finally:
            _held.discard(key)
    finally:
        os.close(handle)


def expect_no_trainer(file: Path) -> None:
    """Somebody who wants to train must not read for seconds what another is changing.

    Raises:
        SessionError: Somebody trains the session; the message says who.
        NotWritten: This user may not train it.
    """
    if not file.is_file() or is_held(file):
        return
    handle = _opened(file)
    try:
        holder = _holder(handle)
    finally:
        os.close(handle)
    if holder is not None:
        raise SessionError(f"{shown_path(file.parent)} is being trained by {holder}")


def is_held(file: Path) -> bool:
    """Whether this process trains the session, so that it must not open the file again."""
    return os.path.realpath(file) in _held


def _opened(file: Path) -> int:
    """A handle that can be locked.

    Raises:
        SessionError: It is no regular file.
        NotWritten: It is not there, or not to be written by this user.
    """
    try:
        with naming(file):
            return regular_handle(file, os.O_RDWR)
    except InvalidFile as error:
        raise SessionError(f"{shown_path(file)} {error}") from None


def _holder(handle: int) -> str | None:
    """Which process has the lock, where the system tells; None where none seems to have it."""
    process = lock_holder(handle)
    return None if process is None else f"process {process}"
