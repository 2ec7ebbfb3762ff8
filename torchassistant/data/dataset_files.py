"""Files and folders that the libraries' datasets open, where anybody may have put anything.

A FIFO in the place of a file would hang whoever opens it, a device or a sparse terabyte would be
read for ever, and links that lead back would let a folder be walked through for ever.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torchassistant.config import machine_memory, size_text
from torchassistant.errors import UserError, shown_path
from torchassistant.ownership import lies_with_user

_DATASETS = "torchvision.datasets."
_MOST_VISITS = 100
"""Paths by which one folder is entered: some links to it are fine, a maze of links is not."""


class _AuditHook:
    """Whether Python tells us of what is opened, and which folders were entered how often."""

    is_on = False
    entered: Counter[tuple[int, int]] | None = None


def watch() -> None:
    """Let the libraries' datasets open regular files only, in this process and in its copies."""
    if not _AuditHook.is_on:
        _AuditHook.is_on = True
        # Once per file that is opened: what the user's own code opens is looked at, and let be.
        sys.addaudithook(_look)


def is_watching() -> bool:
    """Whether :func:`watch` was called."""
    return _AuditHook.is_on


@contextmanager
def walking() -> Iterator[None]:
    """A dataset is made in here, which may walk through folders."""
    watch()
    before, _AuditHook.entered = _AuditHook.entered, Counter()
    try:
        yield
    finally:
        _AuditHook.entered = before


def _look(event: str, args: tuple[Any, ...]) -> None:
    """Called by Python for each event.

    Raises:
        UserError: A dataset of a library would open what it would not get to the end of.
    """
    if event == "open":
        path, _, flags = args
        # Who opens without waiting, as we do, looks at what it is afterwards.
        if not (flags or 0) & os.O_NONBLOCK:
            _look_at_file(path)
    elif event == "os.scandir" and _AuditHook.entered is not None:
        _look_at_folder(args[0], _AuditHook.entered)


def _look_at_file(path: Any) -> None:
    found = _stat(path)
    if found is None or stat.S_ISDIR(found.st_mode):
        return
    is_regular = stat.S_ISREG(found.st_mode)
    if is_regular and found.st_size < _SURELY_FITS:
        return
    if (is_regular and found.st_size <= machine_memory()) or not _is_for_library(sys._getframe(2)):
        return
    why = (
        f"it has {size_text(found.st_size)}, which is more than this machine's memory"
        if is_regular
        else "it is not a regular file, and reading it may block forever"
    )
    raise UserError(f"{shown_path(os.fsdecode(path))} is not read: {why}")


_SURELY_FITS = 1 << 28


def _look_at_folder(path: Any, entered: Counter[tuple[int, int]]) -> None:
    found = _stat(path)
    if found is None:
        return
    folder = found.st_dev, found.st_ino
    entered[folder] += 1
    if entered[folder] > _MOST_VISITS and _is_for_library(sys._getframe(2)):
        raise UserError(
            f"{shown_path(os.fsdecode(path))} is not traversed: links lead to this folder by more "
            f"than {_MOST_VISITS} paths"
        )


def _stat(path: Any) -> os.stat_result | None:
    """What a path leads to; None where it leads to nothing, or is an open file already."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _is_for_library(frame: FrameType | None) -> bool:
    """Whether a dataset of a library asks, or what it calls, and no code of the user's for it."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_DATASETS):
            return True
        if lies_with_user(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return False
