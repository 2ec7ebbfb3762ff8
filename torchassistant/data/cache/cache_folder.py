"""The folder of the caches on disk: what is in use, what is left over, what makes room.

An entry is a folder whose name is a key. The file ``entry.json`` in it is locked by whoever reads
the entry, or writes it: the lock is shared between readers, ends with the process that holds it,
and says that the entry must stay. A folder is written aside, under another name.

The folder, its entries and their files belong to one user, and nobody else may write to them: who
may write there could make an entry that nothing tells from one of ours.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from torchassistant.config import size_text
from torchassistant.data.cache.cache_source import NotCached
from torchassistant.files import InvalidFile, open_regular

T = TypeVar("T")

ENTRY = "entry.json"
_ASIDE = ".aside-"
_LOCK = ".lock"
_KEY = re.compile(r"[0-9a-f]{64}")


def cache_folder() -> Path:
    """Where caches are kept, unless ``TORCHASSISTANT_CACHE`` says otherwise."""
    chosen = os.environ.get("TORCHASSISTANT_CACHE")
    if chosen:
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base, "torchassistant")
    try:
        return Path.home() / ".cache" / "torchassistant"
    except RuntimeError:  # a user who has no home, as in some containers
        return Path(tempfile.gettempdir(), f"torchassistant-{os.geteuid()}")


class CacheFolder:
    """A folder of entries, bounded as a whole.

    Args:
        path: It is made when the first entry is.
        limit: The most bytes that all entries may take.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit

    def check(self) -> None:
        """See that it is this user's alone, if it is there. What holds only caches is closed to
        all others, so that they may not even look.

        Raises:
            NotCached: It is something else.
            OSError: Nobody can say.
        """
        try:
            expect_own_folder(self.path)
        except FileNotFoundError:
            return
        except InvalidFile as what:
            raise NotCached(
                f"{self.path} {what}, and a cache is kept in a folder that is one's own (mode "
                "0700, as chmod gives it); TORCHASSISTANT_CACHE names another one"
            ) from None
        mode = stat.S_IMODE(self.path.lstat().st_mode)
        if mode & 0o077 and all(_is_ours(name) for name in os.listdir(self.path)):
            with suppress(OSError):
                self.path.chmod(mode & ~0o077)

    @contextmanager
    def aside(self) -> Iterator[tuple[Path, int]]:
        """A new folder to write into, with the locked descriptor of its ``entry.json``.

        It is gone afterwards, unless it was published.

        Raises:
            NotCached: Its folder is not this user's alone.
            OSError: It cannot be made.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()
        with self._alone():
            self._clear()
            folder = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self.path))
            handle = created(folder / ENTRY)
            _locked(handle, fcntl.LOCK_EX)
        try:
            yield folder, handle
        finally:
            os.close(handle)
            _discard(folder)

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
        return [p for p in found if p.name != _LOCK and _is_ours(p.name)]

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
        _discard(gone)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process makes, names or removes folders meanwhile."""
        path = self.path / _LOCK
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise NotCached(f"{path} is not a regular file")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags, 0o600)
        try:
            os.fchmod(handle, 0o600)  # whoever may read it may lock it, and hold everybody up
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def created(path: Path) -> int:
    """A descriptor of a new file, to write to it, that nobody else may read.

    Raises:
        OSError: It cannot be made, or something is there.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def expect_own_folder(path: Path) -> None:
    """See that a folder is one that this user alone may write to.

    Raises:
        FileNotFoundError: It is not there.
        OSError: Nobody can say.
        InvalidFile: It is something else.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise InvalidFile("is a link, and links are not followed")
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidFile("is not a folder")
    _expect_own(found)


def opened_own(path: Path, most: int | None = None) -> BinaryIO:
    """Open a file of an entry, to read it.

    Args:
        path: The file.
        most: The most bytes that it may have; None where whoever reads bounds it.

    Raises:
        OSError: It cannot be opened.
        InvalidFile: It is no regular file, too large, or not this user's alone.
    """
    file = open_regular(path, most)
    try:
        found = os.fstat(file.fileno())
        _expect_own(found)
        if found.st_nlink > 1:
            raise InvalidFile("is known under another name too (a hard link)")
    except BaseException:
        file.close()
        raise
    return file


def hold(entry: Path, most: int) -> BinaryIO | None:
    """The ``entry.json`` of an entry, open: until it is closed, the entry is not removed.

    It also marks the entry as used just now.

    Args:
        entry: Its folder.
        most: The most bytes that the file may have.

    Returns:
        None where there is none, or it is written or removed right now.

    Raises:
        InvalidFile: It cannot be read, is not this user's alone, or no entry.
    """
    with named("it"):
        try:
            expect_own_folder(entry)
        except FileNotFoundError:
            return None
    with named(ENTRY):
        file = opened_own(entry / ENTRY, most)
    if not _locked(file.fileno(), fcntl.LOCK_SH):
        file.close()
        return None
    with suppress(OSError):  # it may be that nothing may be written there
        os.utime(file.fileno())
    return file


@contextmanager
def named(name: str) -> Iterator[None]:
    """What is wrong with a file of an entry is reported with its name, also that it cannot be read.

    Raises:
        InvalidFile: Something is.
    """
    try:
        yield
    except InvalidFile as what:
        raise InvalidFile(f"{name} {what}") from None
    except OSError as error:
        raise InvalidFile(f"{name} cannot be read ({error.strerror or error})") from None


def _expect_own(found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise InvalidFile("belongs to another user")
    if found.st_mode & 0o022:
        raise InvalidFile("may be written to by others")


def _is_ours(name: str) -> bool:
    """Whether something in the folder of caches has a name that is given there."""
    return name == _LOCK or name.startswith(_ASIDE) or _KEY.fullmatch(name) is not None


def _is_in_use(file: Path) -> bool:
    try:
        opened = open_regular(file)
    except (OSError, InvalidFile):  # whatever it is, nobody reads an entry by it
        return False
    with opened:
        return not _locked(opened.fileno(), fcntl.LOCK_EX)


def _discard(folder: Path) -> None:
    """Remove a folder, without following links; what cannot be removed stays."""
    with suppress(RecursionError):  # nothing of ours is that deep
        shutil.rmtree(folder, ignore_errors=True)


def _locked(handle: int, how: int) -> bool:
    """Whether a lock was to be had at once."""
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_used(entry: Path) -> float:
    try:
        return (entry / ENTRY).lstat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    """The bytes of the files in an entry, which has no folders."""
    total = 0
    with suppress(OSError):
        for file in os.scandir(folder):
            with suppress(FileNotFoundError):
                total += file.stat(follow_symlinks=False).st_size
    return total


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
