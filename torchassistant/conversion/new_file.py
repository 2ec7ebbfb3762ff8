"""A file that appears under its name when it is whole; who is killed before leaves nothing."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torchassistant.whole_files import ASIDE, naming, sync_path


@contextmanager
def new_file(path: Path, replace: bool = False) -> Iterator[int]:
    """A handle to write into, and to read from, of a file that gets its name at the end.

    Linux gives such a file no name before that, so that nothing is left of it even after a
    ``kill -9``; elsewhere it stands aside under another one.

    Args:
        path: Its name, in a folder that is there.
        replace: Whether a file of that name is replaced.

    Yields:
        The handle; whoever gets it does not close it.

    Raises:
        FileExistsError: There is such a file, and it is not to be replaced.
        NotWritten: It could not be written.
    """
    with naming(path):
        handle, aside = _nameless(path.parent)
    try:
        with naming(path):
            yield handle
            os.fsync(handle)
            if aside is None:
                aside = str(path.parent / f"{ASIDE}{secrets.token_hex(8)}")
                # The handle of a folder has no effect on what is absolute, but that its link is
                # followed.
                source = f"/proc/self/fd/{handle}"
                os.link(source, aside, src_dir_fd=handle, follow_symlinks=True)
        if not replace and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        with naming(path):
            os.replace(aside, path)
    except BaseException:
        if aside is not None:
            with suppress(FileNotFoundError):
                os.unlink(aside)
        raise
    finally:
        os.close(handle)
    sync_path(path.parent)


def _nameless(folder: Path) -> tuple[int, str | None]:
    """A new file in a folder: its handle, and its name where it needs one."""
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is not None and os.path.isdir("/proc/self/fd"):
        with suppress(OSError):  # a file system that has no such files
            return os.open(folder, os.O_RDWR | nameless | os.O_CLOEXEC, 0o644), None
    handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=folder)
    os.chmod(aside, 0o644)
    return handle, aside
