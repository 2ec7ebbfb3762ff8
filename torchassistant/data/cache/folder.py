"""The folder of the caches on disk: what is in use, what is left over, what makes room.

An entry is a folder whose name is a key. The file ``entry.json`` in it is locked by whoever reads
the entry, or writes it: the lock is shared between readers, ends with the process that holds it,
and says that the entry must stay. A folder is written aside, under another name.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from torchassistant.config.sizes import size_text
from torchassistant.data.cache.source import NotCached

T = TypeVar("T")

ENTRY = "entry.json"
_ASIDE = ".aside-"
_KEY = re.compile(r"[0-9a-f]{64}")


def cache_folder() -> Path:
    """Where caches are kept, unless ``TORCHASSISTANT_CACHE`` says otherwise."""
    chosen = os.environ.get("TORCHASSISTANT_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "torchassistant")


class CacheFolder:
    """A folder of entries, bounded as a whole.

    Args:
        path: It is made when the first entry is.
        limit: The most bytes that all entries may take.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit

    @contextmanager
    def aside(self) -> Iterator[tuple[Path, int]]:
        """A new folder to write into, with the locked descriptor of its ``entry.json``.

        It is gone afterwards, unless it was published.

        Raises:
            OSError: It cannot be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._clear()
            folder = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self.path))
            handle = os.open(folder / ENTRY, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _locked(handle, fcntl.LOCK_EX)
        try:
            yield folder, handle
        finally:
            os.close(handle)
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, handle: int, key: str, opened: Callable[[Path], T]) -> T:
        """Give a folder its name, in place of an entry that has it.

        Args:
            folder: A whole entry.
            handle: Its file, as :meth:`aside` gave it.
            key: Its name.
            opened: Called with the entry, before another process may put its own there.

        Raises:
            NotCached: There is no room for it.
            OSError: It cannot be renamed.
        """
        with self._alone():
            self._remove(self.path / key)
            self._make_room(_size(folder), folder)
            folder.rename(self.path / key)
            sync(self.path)
            fcntl.flock(handle, fcntl.LOCK_SH)
            return opened(self.path / key)

    def make_room(self, size: int, folder: Path) -> None:
        """Remove entries, those first that were not used for the longest time.

        Args:
            size: The bytes that are needed.
            folder: What they are needed for; it does not count.

        Raises:
            NotCached: What is in use leaves no room.
        """
        with self._alone():
            self._make_room(size, folder)

    def _make_room(self, size: int, folder: Path) -> None:
        others = {path: _size(path) for path in self._folders() if path != folder}
        entries = sorted((path for path in others if _KEY.fullmatch(path.name)), key=_last_used)
        while sum(others.values()) + size > self.limit and entries:
            oldest = entries.pop(0)
            if self._remove(oldest, only_unused=True):
                del others[oldest]
        if sum(others.values()) + size > self.limit:
            raise NotCached(
                f"{size_text(size)} are needed, other caches that are in use take "
                f"{size_text(sum(others.values()))} of {self.path}, and cache_limit is "
                f"{size_text(self.limit)}"
            )

    def _clear(self) -> None:
        """Remove what processes that were ended have left."""
        for path in self._folders():
            if path.name.startswith(_ASIDE):
                self._remove(path, only_unused=True)

    def _folders(self) -> list[Path]:
        found = [p for p in self.path.iterdir() if p.is_dir() and not p.is_symlink()]
        return [p for p in found if p.name.startswith(_ASIDE) or _KEY.fullmatch(p.name)]

    def _remove(self, path: Path, only_unused: bool = False) -> bool:
        """Remove a folder; whoever has mapped its files keeps them.

        Returns:
            Whether it is gone.
        """
        if only_unused and _is_in_use(path / ENTRY):
            return False
        gone = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self.path))
        with suppress(FileNotFoundError):
            path.rename(gone / "gone")
        shutil.rmtree(gone, ignore_errors=True)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process makes, names or removes folders meanwhile."""
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def hold(entry: Path) -> int | None:
    """A file descriptor that keeps an entry from being removed, or None where there is none.

    It also tells that the entry was used just now.
    """
    try:
        handle = os.open(entry / ENTRY, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if not _locked(handle, fcntl.LOCK_SH):
        os.close(handle)
        return None
    with suppress(OSError):  # the folder may be another's
        os.utime(entry / ENTRY)
    return handle


def _is_in_use(file: Path) -> bool:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


def _locked(handle: int, how: int) -> bool:
    """Whether a lock was to be had at once."""
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_used(entry: Path) -> float:
    try:
        return (entry / ENTRY).stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
