"""What every logger does: a callback that sends the history of a run to a program that shows it.

A logger sends what a stored checkpoint holds, and nothing else: after each checkpoint what is new,
and when a run starts whatever the tracker lacks. So a kill leaves nothing behind that the resumed
run would send again. What fails in it is a warning: training goes on, and the rest is sent later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from torchassistant.callbacks.base import Callback
from torchassistant.callbacks.events import (
    CheckpointEvent,
    Event,
    ExceptionEvent,
    TrainEndEvent,
    TrainStartEvent,
)
from torchassistant.errors import ConfigError, Interrupted, shown_path
from torchassistant.messages import logger_for
from torchassistant.trackers import Follower, Outcome, Source, Tracker, missing_package
from torchassistant.writing import SQLITE, Place, WritesFiles, Writing, refuse_links_below

_log = logger_for(__name__)

_PAUSE = 60.0
"""Seconds for which a tracker that failed is left alone: a locked database takes long to fail."""


class Logger(Callback, WritesFiles):
    """What every logger does.

    Args:
        folder: Where the tracker keeps its files, relative to the working folder; None: a folder
            in the session, of the logger's own name.
        name: What the run is called there; None: as the session's folder.

    Raises:
        ValueError: The name cannot be that of a folder.
    """

    only_first = True

    names_place = "folder"
    tracker: ClassVar[type[Tracker]]
    """What it sends to."""

    own_folder: ClassVar[str]
    """The folder in a session where it keeps its files, if no other is named."""

    command: ClassVar[str]
    """How ``torchassistant log`` names it."""

    def __init__(self, folder: str | Path | None = None, name: str | None = None) -> None:
        if name is not None:
            expect_name(name)
        self.folder = folder
        self.run_name = name
        self._follower: Follower | None = None
        self._failed_at: float | None = None

    def keep_to(self, writing: Writing) -> None:
        """Write below what a config may write to."""
        if self.folder is not None:
            self.place = writing.folder(self.folder)
            if self.database is not None:
                inside(self.place, self.database).expect_own(SQLITE)

    def tracker_in(self, folder: str) -> Tracker:
        """The tracker that keeps its files in a folder, which is there."""
        raise NotImplementedError

    def follower(self, session: Path, source: Source) -> Follower:
        """What sends a session; its folder is made.

        Args:
            session: The session folder.
            source: What is sent.

        Raises:
            ConfigError: A package is missing.
            UserError: Something stands in the way that is not to be written to.
            OSError: The folder cannot be made.
        """
        missing = missing_package(self.tracker)
        if missing is not None:
            raise ConfigError(missing)
        place = self.run_place(self._place(session), session.name)
        with place.opened():
            folder = place.path
        if self.database is not None:
            with inside(place, self.database).appending(SQLITE):
                pass  # an empty file is an empty database
        if self.folder is None or self.place is not None:
            refuse_links_below(folder)
        return Follower(self.tracker_in(folder), source)

    def _place(self, session: Path) -> Place:
        """Where the tracker keeps its files."""
        if self.folder is None:
            own = os.path.realpath(session)
            return Place(own, (self.own_folder,), f'"{self.own_folder}"', is_allowed=True)
        if self.place is not None:
            return self.place
        return Place(os.path.realpath(self.folder), (), f'"{self.folder}"', is_allowed=True)

    @property
    def database(self) -> str | None:
        """The name of the database in its folder, which has to be ours, or to be allowed."""
        return None

    def run_place(self, place: Place, session: str) -> Place:
        """The folder of the run in that of the tracker.

        Args:
            place: That of the tracker.
            session: The name of the session's folder.
        """
        return place

    # What it hears

    def on_train_start(self, event: TrainStartEvent) -> None:
        """Send what the tracker lacks."""
        self._failed_at = None
        self._follower = None
        self._try(event, lambda: self._begin(event))

    def on_checkpoint(self, event: CheckpointEvent) -> None:
        """Send what is new."""
        self._try(event, lambda: self._send(event))

    def on_train_end(self, event: TrainEndEvent) -> None:
        """Send what could not be sent before."""
        self._failed_at = None
        self._try(event, lambda: self._end(event, "finished"))
        if self._failed_at is not None:
            name = shown_path(event.session.path)
            _log.warning(
                f'{self._title(event)} has not got all of the run; "torchassistant log {name} '
                f'--to {self.command}" sends the rest'
            )

    def on_exception(self, event: ExceptionEvent) -> None:
        """Note that the run has ended; what is in memory may be more than what is stored."""
        outcome: Outcome = "stopped" if isinstance(event.error, Interrupted) else "failed"
        if self._follower is not None:
            self._try(event, lambda: self._close(outcome))

    def _begin(self, event: Event) -> None:
        follower = self.follower(event.session.path, event.session.history_feed())
        follower.catch_up()
        self._follower = follower

    def _send(self, event: Event) -> None:
        if self._follower is None:
            self._begin(event)
        else:
            self._follower.go_on()

    def _end(self, event: Event, outcome: Outcome) -> None:
        self._send(event)
        self._close(outcome)

    def _close(self, outcome: Outcome) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close(outcome)

    def _try(self, event: Event, action: Callable[[], None]) -> None:
        """Do something that may fail in any way that a library or a disk can."""
        failed, now = self._failed_at, time.monotonic()
        if failed is not None and now - failed < _PAUSE:
            return
        try:
            action()
            self._failed_at = None
        except Exception as error:
            follower, self._failed_at, self._follower = self._follower, now, None
            if follower is not None:
                follower.let_go()
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            _log.warning(
                f"{self._title(event)} could not be written: {said}; training goes on, and what "
                "is missing is sent later"
            )

    def _title(self, event: Event) -> str:
        return f'the logger "{event.name}" ({type(self).__name__})'


def inside(place: Place, name: str) -> Place:
    """A folder or file in a place."""
    return replace(place, steps=(*place.steps, name))


def expect_name(name: str) -> None:
    """See that a name can be that of a folder, as trackers make one of it.

    Raises:
        ValueError: It cannot.
    """
    if not name or name.startswith((".", "-", "~")) or any(sign in name for sign in "/\\\0"):
        raise ValueError(f"a name is not empty, and has no path in it; found {name!r}")
