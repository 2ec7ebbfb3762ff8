"""Whether files are still those that they were: paths, sizes and times, not what is in them.

Of the times there are two: that of the last change, which a program may set back, and that of the
last change of what the system knows of the file, which none may.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

_MOST = 100_000
"""So many files of one folder are looked at, in the order of their names."""
_DEEPEST = 100
"""So many levels of folders are looked into."""
_OF_A_SESSION = frozenset(("spec.json", "environment.json"))

Stamp = tuple[str, int, int, int]
"""Path, size in bytes, both times in ns."""


def stamps_of(names: Sequence[str], besides: Path) -> list[Stamp]:
    """The stamps of files, and of what is in folders.

    Args:
        names: Texts; those that name nothing are left out.
        besides: A folder that is not looked at.
    """
    found: list[Stamp] = []
    for name in sorted(set(names)):
        try:
            path = Path(name).resolve()
            stamp = _stamp(str(path)) if path.exists() else None
        except (OSError, ValueError):  # too long, or with a character that no path has
            continue
        if stamp is not None:
            # What changes a folder itself may be a file in it that is passed over.
            found.append((str(path), 0, 0, 0) if path.is_dir() else stamp)
            found += islice(_inside(path, besides.resolve()), _MOST)
    return found


def _inside(folder: Path, besides: Path) -> Iterator[Stamp]:
    """The files below a folder, without hidden ones, compiled code and sessions."""
    for place, folders, files in os.walk(folder):
        if Path(place) == besides or _OF_A_SESSION.issubset(files):
            folders.clear()
            continue
        if len(Path(place).parts) - len(folder.parts) >= _DEEPEST:
            folders.clear()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        for file in sorted(files):
            if not file.startswith("."):
                yield _stamp(os.path.join(place, file))


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:  # a link that leads nowhere
        return path, -1, -1, -1
    return path, found.st_size, found.st_mtime_ns, found.st_ctime_ns
