"""Brings a tracker up to a session, and keeps it there: nothing twice, nothing left out."""

from __future__ import annotations

import os

from torchassistant.trackers.record import Key, News, Outcome, Source
from torchassistant.trackers.sole_writer import SoleWriter
from torchassistant.trackers.tracker import Tracker

STEPS = "steps/"
"""What the tags begin with of rows within epochs, which only a session has."""

_OF_ALL = ("epoch", "seconds")
"""Tags that every session sends."""


class Follower:
    """A tracker that follows a session. What it was sent is not read again after the beginning.

    Args:
        tracker: Where everything goes.
        source: Where it comes from.
    """

    def __init__(self, tracker: Tracker, source: Source) -> None:
        self.tracker = tracker
        self.source = source
        self._lock: SoleWriter | None = None

    def catch_up(self) -> int:
        """Read what the tracker has, and send the rest.

        It may have what the session has not: the session was taken back to an earlier state, as the
        newest was damaged, or another one stands in its place. From there on it counts no more.

        Returns:
            How many points and pictures were sent.

        Raises:
            SessionError: Another process sends the session there just now.
            Exception: Whatever the tracker raises; then nothing is held any more.
        """
        self._lock = SoleWriter(
            os.path.join(self.tracker.folder, self.tracker.lock_for(self.source.about))
        )
        try:
            return self._catch_up()
        except BaseException:
            self.let_go()
            raise

    def _catch_up(self) -> int:
        news = self._news()
        has = self.tracker.open(self.source.about)
        strange = _ours(has, news.keys) - news.keys
        if strange:
            last = max((key.step for key in news.keys), default=-1)
            strange |= {key for key in has if key.step > last}
            has = self.tracker.forget(min(key.step for key in strange))
        rest = news.without(has)
        self.tracker.send(rest)
        return len(rest)

    def go_on(self) -> None:
        """Send what is new."""
        news = self._news()
        if len(news):
            self.tracker.send(news)

    def _news(self) -> News:
        """What is new, with the tags as the tracker has them."""
        news, shown = self.source.news(), self.tracker.shown
        return News(
            [point._replace(tag=shown(point.tag)) for point in news.points],
            [picture._replace(tag=shown(picture.tag)) for picture in news.pictures],
            [text._replace(tag=shown(text.tag)) for text in news.texts],
        )

    def close(self, outcome: Outcome) -> None:
        """The run has ended."""
        try:
            self.tracker.end(outcome)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Send nothing more."""
        self.tracker.let_go()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _ours(found: set[Key], known: set[Key]) -> set[Key]:
    """Those that a session has sent; people may add others of their own."""
    tags = {*_OF_ALL, *(key.tag for key in known)}
    return {key for key in found if key.tag in tags or key.tag.startswith(STEPS)}
