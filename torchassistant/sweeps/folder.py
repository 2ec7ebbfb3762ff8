"""The folder of a sweep: what is searched, the sessions of the trials, and who works on what.

Locks are those of ``flock``: a process that is forked has those of its parent too, so that a trial
stays locked until the last of both has ended, however that happens.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torchassistant.session import as_json, begun_work, replace_file
from torchassistant.whole_files import make_folder, naming

_ABOUT, _JOURNAL, _LOCK, _TRIALS, _REPORT = (
    *("study.json", "journal.log", "study.lock", "trials", "report.html"),
)


class SweepFolder:
    """The folder of a sweep.

    Args:
        path: The folder; made when a sweep begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.journal = self.path / _JOURNAL
        self.report = self.path / _REPORT

    def session(self, number: int) -> Path:
        """Where the session of a trial is."""
        return self.path / _TRIALS / f"{number:04}"

    def about(self) -> dict[str, Any] | None:
        """What is searched here; None where nothing is.

        Raises:
            SessionError: The folder holds something else.
        """
        keys = {"format": int, "study": str, "seed": int, "request": dict, "config": dict}
        others = (_JOURNAL, f"{_JOURNAL}.lock", _LOCK, _TRIALS)
        return begun_work(self.path / _ABOUT, "sweep", keys, others)

    def make(self) -> None:
        """Make what is not there yet.

        Raises:
            NotWritten: It cannot be made.
        """
        with naming(self.path):
            make_folder(self.path / _TRIALS)

    def write_about(self, about: Mapping[str, Any]) -> None:
        """Write down what is searched."""
        replace_file(self.path / _ABOUT, as_json(about))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else begins, or goes on with, a trial meanwhile."""
        handle = _opened(self.path / _LOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def lock_trial(self, number: int) -> int | None:
        """Lock a trial; None where somebody works on it.

        Returns:
            A handle; the lock ends when it is closed, here and in processes forked since.
        """
        handle = _opened(self.path / _TRIALS / f"{number:04}.lock")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle


class JournalLock:
    """Locks Optuna's journal: unlike its own locks, this one ends with the process.

    What a process has left of a line that died while it wrote is cut off before the next one.

    Args:
        journal: The journal.
    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.file = journal.with_name(f"{journal.name}.lock")
        self.handle: int | None = None

    def acquire(self) -> bool:
        """Wait until nobody else has it."""
        handle = _opened(self.file)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self.handle = handle
        _cut_off_part_of_line(self.journal)
        return True

    def release(self) -> None:
        """Let others have it."""
        assert self.handle is not None
        os.close(self.handle)
        self.handle = None


def _cut_off_part_of_line(file: Path) -> None:
    with file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - 1))
        if opened.read(1) not in (b"", b"\n"):
            opened.seek(0)
            opened.truncate(opened.read().rfind(b"\n") + 1)


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
