"""A folder is what it is, and not what its name leads to by now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from torchassistant.errors import shown_path


class FolderGone(OSError):
    """A folder was deleted, moved, unmounted, or another stands in its place."""


class SameFolder:
    """Knows a session folder again.

    Args:
        session: The folder; it may be reached by a link.
        inside: Names of folders in it that belong to it, and are no links.
        file: The name of a file in it. Where that is gone, somebody is taking the folder away.

    Raises:
        OSError: One is not there.
    """

    def __init__(self, session: Path, inside: Iterable[str], file: str) -> None:
        self._file = session / file
        self._known = {session: _identity(os.stat(session))}
        self._inside = [session / name for name in inside]
        self._known |= {path: _identity(os.lstat(path)) for path in self._inside}

    def expect(self) -> None:
        """See that all of it is still there; what is written by name would go elsewhere.

        Raises:
            FolderGone: It is not.
        """
        for path, known in self._known.items():
            try:
                found = os.lstat(path) if path in self._inside else os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                raise FolderGone(f"{shown_path(path)} is not there any more") from None
            if _identity(found) != known:
                raise FolderGone(f"{shown_path(path)} was replaced by another folder")
        if not self._file.exists():
            raise FolderGone(f"{shown_path(self._file)} is not there any more")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
