"""Who of several processes is alive: each says so again and again, in a store that all can reach.

It is no collective that finds it out: a process that computes for an hour is alive, and one that is
waited for in vain may be cut off. A thread looks, so that it is found out whatever else is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from torchassistant.errors import EndedElsewhere
from torchassistant.parallel.launched import LOST, Launched

_BEAT, _HURRY = 0.5, 0.1
"""Seconds between two looks; and where something has happened."""

START = 600.0
"""Seconds for which the first process waits for the last one to begin."""


class Heartbeat:
    """Says that this process is alive, and sees who else is.

    Args:
        launched: What this process is.
        timeout: Seconds without a word after which a process counts as lost.
    """

    def __init__(self, launched: Launched, timeout: float) -> None:
        self.launched = launched
        self.timeout = timeout
        patience = timedelta(seconds=timeout)
        # A client of its own: one that waits for an answer keeps others waiting.
        store = dist.TCPStore(launched.address, launched.port, is_master=False, timeout=patience)  # type: ignore[attr-defined]
        self.store = dist.PrefixStore(f"torchassistant/{launched.attempt}/alive", store)  # type: ignore[attr-defined]
        self.lock = threading.Lock()
        self.beats = 0
        self.others = [rank for rank in range(launched.size) if rank != launched.rank]
        self.heard: dict[int, tuple[bytes, float]] = {}
        self.began = time.monotonic()
        self.failure: dict[str, Any] | None = None
        self.failed_at = 0.0
        self.is_over = threading.Event()
        self.is_urgent = False
        where = f"rank {launched.rank} (process {os.getpid()} on {socket.gethostname()})"
        self.store.set(f"name {launched.rank}", where)
        self._beat()
        self.looks = 0
        self.thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self.other_thread = threading.Thread(
            target=self._watch_store, name="heartbeat of the store", daemon=True
        )

    def count_as_lost_after(self, seconds: float) -> None:
        """So long one may say nothing, and so long the store may give no answer."""
        self.timeout = seconds
        with self.lock:
            self.store.set_timeout(timedelta(seconds=seconds))

    def start(self) -> None:
        """Begin to watch; some processes may not have begun yet."""
        self.thread.start()
        self.other_thread.start()

    def stop(self) -> None:
        """This process is done, and nobody is to miss it."""
        self.is_over.set()
        self.thread.join(2 * _BEAT)
        with contextlib.suppress(Exception):
            self.store.set(f"beat {self.launched.rank}", "done")

    def fail(self, message: str, status: int) -> None:
        """This process ends the work: the others are to end too, and to say why.

        Args:
            message: What they say; empty where it is said here.
            status: The exit status of all.
        """
        told = {"rank": self.launched.rank, "message": message, "status": status}
        with contextlib.suppress(Exception), self.lock:
            if not self.store.check(["failure"]):
                self.store.set("failure", json.dumps(told))

    def lost(self, error: Exception) -> EndedElsewhere:
        """Why the others do not answer any more; waits until that is known.

        Args:
            error: What a collective has raised.
        """
        self.is_urgent = True
        end = time.monotonic() + min(self.timeout, 20 * _BEAT)
        while time.monotonic() < end:
            if self.failure is not None:
                return self._ended_by(self.failure)
            silent = self._silent(for_seconds=4 * _BEAT)
            if silent:
                return self._ended_by_loss(silent)
            time.sleep(_HURRY)
        first_line = str(error).partition("\n")[0]
        return EndedElsewhere(
            f"the connection between the processes is lost: {first_line}",
            LOST,
            self.launched.rank == 0,
        )

    def _watch(self) -> None:
        while not self.is_over.wait(_HURRY if self.is_urgent else _BEAT):
            try:
                self._beat()
                self._look()
            except Exception as error:
                if not self.is_over.is_set():
                    self._end(self.launched.unanswered(str(error)))
                return
            self.looks += 1
            silent = self._silent(self.timeout)
            if silent:
                self._end(self._ended_by_loss(silent))
            missing = self._missing()
            if missing:
                self._end(self._ended_by_absence(missing))
            if self.failure is not None and time.monotonic() - self.failed_at > self.timeout:
                self._end(self._ended_by(self.failure))

    def _watch_store(self) -> None:
        """See that the store answers: where its machine is cut off, who asks it waits for ever."""
        seen, silent, before = -1, 0.0, time.monotonic()
        while not self.is_over.wait(_BEAT):
            now = time.monotonic()
            # Of a pause of the whole process, or of its threads, one beat counts.
            silent = 0.0 if self.looks != seen else silent + min(now - before, 2 * _BEAT)
            seen, before = self.looks, now
            if silent > self.timeout:
                why = f"it has said nothing for {self.timeout:g} s"
                self._end(self.launched.unanswered(why))

    def _beat(self) -> None:
        self.beats += 1
        with self.lock:
            self.store.set(f"beat {self.launched.rank}", str(self.beats))

    def _look(self) -> None:
        with self.lock:
            # Of one that has not begun, nothing can be got yet.
            here = [
                rank
                for rank in self.others
                if rank in self.heard or self.store.check([f"beat {rank}"])
            ]
            found = self.store.multi_get([f"beat {rank}" for rank in here]) if here else []
            if self.failure is None and self.store.check(["failure"]):
                self.failure = json.loads(self.store.get("failure"))
                self.failed_at = time.monotonic()
        now = time.monotonic()
        for rank, beat in zip(here, found, strict=True):
            if self.heard.get(rank, (b"", 0.0))[0] != beat:
                self.heard[rank] = (beat, now)

    def _silent(self, for_seconds: float) -> list[int]:
        """The ranks that have said nothing for so long."""
        now = time.monotonic()
        return [
            rank
            for rank, (beat, when) in list(self.heard.items())
            if beat != b"done" and now - when > for_seconds
        ]

    def _missing(self) -> list[int]:
        """The ranks that have not begun, once they had the time for it."""
        if time.monotonic() - self.began <= START:
            return []
        return [rank for rank in self.others if rank not in self.heard]

    def _ended_by(self, failure: dict[str, Any]) -> EndedElsewhere:
        is_first = self.launched.rank == min({0, 1} - {failure["rank"]})
        return EndedElsewhere(failure["message"], failure["status"], is_first)

    def _ended_by_loss(self, silent: list[int]) -> EndedElsewhere:
        with contextlib.suppress(Exception), self.lock:
            names = [self.store.get(f"name {rank}").decode() for rank in silent]
            lost = " and ".join(names)
            message = (
                f"{lost} {'has' if len(silent) == 1 else 'have'} died, or cannot be reached; what "
                "was saved last is intact, and train resumes from there"
            )
            return EndedElsewhere(message, LOST, self._is_first_but(silent))
        return EndedElsewhere("other processes are lost", LOST, self._is_first_but(silent))

    def _ended_by_absence(self, missing: list[int]) -> EndedElsewhere:
        message = f"rank {' and '.join(map(str, missing))} did not begin within {START:g} s"
        return EndedElsewhere(message, LOST, self._is_first_but(missing))

    def _is_first_but(self, silent: list[int]) -> bool:
        return self.launched.rank == min(set(range(self.launched.size)) - set(silent))

    def _end(self, why: EndedElsewhere) -> None:
        """End without asking anybody: who waits for one that is lost waits for ever."""
        if why.speaks and why.message:
            say: Callable[..., None] = print
            say(f"error: {why.message}", file=sys.__stderr__, flush=True)
        os._exit(why.status)
