"""Writing behind the training: one thing at a time, in the order in which it was asked for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Writer:
    """A thread that writes. It ends with the process, whatever it is doing, or when it is closed.

    A failure stays until it is fetched; what is asked for after it is done all the same.

    Args:
        on_failure: Called by that thread when there is one.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self.failures: list[Exception] = []

    def ask(self, job: Callable[[], None]) -> None:
        """Do something behind."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def wait(self) -> None:
        """Wait until everything that was asked for is done."""
        self._jobs.join()

    def close(self) -> None:
        """Let the thread end when it is done; until then it holds whatever it writes for."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def fetch(self) -> list[Exception]:
        """What has failed since the last time."""
        failures, self.failures = self.failures, []
        return failures

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                if job is None:
                    return
                job()
            except Exception as error:
                self.failures.append(error)
                self._on_failure()
            finally:
                del job  # it holds a copy of the whole state
                self._jobs.task_done()
