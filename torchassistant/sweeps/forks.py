"""Work in a process that is forked from this one, which has imported torch and run nothing.

Importing torch takes seconds. What is forked begins where a new process is when that is done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

Work = Callable[[], Any]


class Lifeline:
    """Ends forked processes, as SIGTERM does, when the one that they were forked from is gone."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def hold(self) -> None:
        """In the forked process: watch whether the other one is there."""
        os.close(self.writing)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        os.read(self.reading, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Nothing is forked any more."""
        os.close(self.reading)
        os.close(self.writing)


class Fork:
    """A forked process.

    Args:
        work: What it does; gives JSON data.
        lifeline: Ends it when this process is gone.
        foreign: Handles of files that are not for it.
    """

    def __init__(self, work: Work, lifeline: Lifeline, foreign: Iterable[int] = ()) -> None:
        self.result = tempfile.TemporaryFile()  # noqa: SIM115 - until the process has ended
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Of threads of libraries, which do nothing at this moment.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            self._run(work, lifeline, foreign)

    def _run(self, work: Work, lifeline: Lifeline, foreign: Iterable[int]) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C is for the process that asked for all this
            for handle in foreign:
                os.close(handle)
            lifeline.hold()
            self.result.write(json.dumps(work()).encode())
            self.result.flush()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)

    def ask(self, signum: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)

    def ended(self, wait: bool = False) -> Ended | None:
        """How it ended; None where it runs."""
        pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
        if not pid:
            return None
        with self.result:
            self.result.seek(0)
            text = self.result.read()
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, json.loads(text) if code == 0 else None)


class Ended:
    """How a forked process ended.

    Args:
        status: Its exit status; less than 0 where a signal ended it.
        data: What its work gave, where it was done.
    """

    def __init__(self, status: int, data: Any) -> None:
        self.status = status
        self.data = data


def in_fork(work: Work) -> Ended:
    """Do something in a forked process, and wait for that."""
    lifeline = Lifeline()
    try:
        fork = Fork(work, lifeline)
        try:
            ended = fork.ended(wait=True)
        except BaseException:
            fork.ask(signal.SIGTERM)
            fork.ended(wait=True)
            raise
    finally:
        lifeline.close()
    assert ended is not None, "it was waited for"
    return ended
