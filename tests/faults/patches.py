"""Patches of the standard library in a victim, before its command runs.

Some disable a safeguard, for the mutation checks; one records what is synced; some move system
calls out of the way of a fault that is meant for another call.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Put = Callable[[Any, str, Any], None]

PADDING = 500
"""So many files does :func:`opening_many_files` open."""


def without_fsync(put: Put = setattr) -> None:
    """Nothing is ever synced."""
    put(os, "fsync", lambda handle: None)
    put(os, "fdatasync", lambda handle: None)


def without_rename(put: Put = setattr) -> None:
    """A rename is a slow copy in place, and then a removal."""
    for name in ("rename", "replace"):
        put(os, name, _move)


def _move(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: Any = None) -> None:
    source, target = _path(src, src_dir_fd), _path(dst, dst_dir_fd)
    if source.is_dir():
        if target.is_dir() and any(target.iterdir()):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(target))
        target.mkdir(exist_ok=True)
        for path in sorted(source.rglob("*")):
            copy = target / path.relative_to(source)
            if path.is_dir():
                copy.mkdir()
            else:
                _copy(path, copy)
        shutil.rmtree(source)
    else:
        _copy(source, target)
        source.unlink()


def _path(path: Any, folder: int | None) -> Path:
    name = os.fsdecode(path)
    return Path(name) if folder is None else Path(f"/proc/self/fd/{folder}", name)


def _copy(source: Path, target: Path) -> None:
    data = source.read_bytes()
    with target.open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        time.sleep(0.005)
        file.write(data[len(data) // 2 :])
    time.sleep(0.005)


class _Constant:
    """A hash that is the same for everything."""

    name, digest_size, block_size = "sha256", 32, 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def update(self, data: Any) -> None:
        pass

    def digest(self) -> bytes:
        return bytes(32)

    def hexdigest(self) -> str:
        return self.digest().hex()

    def copy(self) -> _Constant:
        return self


def without_checksum(put: Put = setattr) -> None:
    """Every SHA-256 is the same."""
    for name in ("sha256", "new", "file_digest"):
        put(hashlib, name, _Constant)


def without_lock(put: Put = setattr) -> None:
    """Every lock is granted."""
    real = fcntl.fcntl
    names = ("F_SETLK", "F_SETLKW", "F_OFD_SETLK", "F_OFD_SETLKW")
    locking = {getattr(fcntl, name) for name in names if hasattr(fcntl, name)} | {37, 38}

    def granted(handle: Any, command: int, argument: Any = 0) -> Any:
        return argument if command in locking else real(handle, command, argument)

    put(fcntl, "fcntl", granted)
    for name in ("lockf", "flock"):
        put(fcntl, name, lambda *args: None)


def recording(put: Put = setattr) -> None:
    """Record every sync and every rename in the file that ``FAULTS_RECORD`` names."""
    record = Path(os.environ["FAULTS_RECORD"])
    syncs = {name: getattr(os, name) for name in ("fsync", "fdatasync")}
    renames = {name: getattr(os, name) for name in ("rename", "replace")}

    def note(**event: Any) -> None:
        with record.open("a") as file:
            file.write(json.dumps({"at": time.time_ns(), **event}) + "\n")

    def synced(name: str) -> Callable[..., None]:
        def sync(handle: Any) -> None:
            syncs[name](handle)
            note(sync=_identity(handle if isinstance(handle, int) else handle.fileno()))

        return sync

    def renamed(name: str) -> Callable[..., None]:
        def rename(
            src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
        ) -> None:
            source, target = _path(src, src_dir_fd), _path(dst, dst_dir_fd)
            inside = sorted(source.rglob("*")) if source.is_dir() else []
            found = {str(path): [_identity(path), _changed(path)] for path in [source, *inside]}
            paths = [str(_whole(path)) for path in (source, target)]
            renames[name](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            parent = _identity(_whole(target).parent)
            note(rename=paths, inside=found, parent=parent)

        return rename

    for name in syncs:
        put(os, name, synced(name))
    for name in renames:
        put(os, name, renamed(name))


def _whole(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _identity(what: Any) -> str:
    status = os.stat(what)
    return f"{status.st_dev}:{status.st_ino}"


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


class _Vectored(io.RawIOBase):
    """Writes by ``writev``."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.handle

    def write(self, data: Any) -> int:
        return os.writev(self.handle, [data])


def writing_by_writev(put: Put = setattr) -> None:
    """Write standard streams by ``writev``, so that faults in ``write`` do not hit them."""
    for handle, name in ((1, "stdout"), (2, "stderr")):
        stream = io.BufferedWriter(_Vectored(handle))
        put(sys, name, io.TextIOWrapper(stream, "utf-8", "backslashreplace", line_buffering=True))


def opening_many_files(put: Put = setattr) -> None:
    """The N-th file that the main thread opens from now on is its 500+N-th."""
    for _ in range(PADDING):
        with contextlib.suppress(OSError):
            os.close(os.open(os.devnull, os.O_RDONLY))


def ignoring_hangup(put: Put = setattr) -> None:
    """As ``nohup`` starts a command."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
