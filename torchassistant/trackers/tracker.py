"""What every tracker can do."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import ClassVar

from torchassistant.trackers.record import About, Key, News, Outcome


class Tracker(ABC):
    """Keeps what it is given of one session."""

    packages: ClassVar[tuple[str, ...]]
    """What it imports of others."""

    extra: ClassVar[str]
    """The extra of this package that brings them."""

    folder: str
    """Where it keeps its files."""

    where: str
    """The same, for people."""

    def lock_for(self, about: About) -> str:
        """The name of a file in its folder that whoever writes a run of a session locks."""
        which = "\n".join((about.session, *self.place_of(about)))
        return f".{self.extra}-{zlib.crc32(which.encode()):08x}.lock"

    def place_of(self, about: About) -> tuple[str, ...]:
        """What names the run in its folder, which may hold several of one session."""
        return ()

    @abstractmethod
    def open(self, about: About) -> set[Key]:
        """Be ready for a session, and note what is told about it.

        Returns:
            What there is of it already.
        """

    def shown(self, tag: str) -> str:
        """What it calls a tag, where it does not take every name."""
        return tag

    @abstractmethod
    def forget(self, step: int) -> set[Key]:
        """Let nothing count any more that there is from a step on.

        A tracker that cannot do that begins anew.

        Returns:
            What still counts.
        """

    @abstractmethod
    def send(self, news: News) -> None:
        """Add points and pictures; afterwards a kill of the process cannot undo it."""

    @abstractmethod
    def end(self, outcome: Outcome) -> None:
        """Note how the run has ended."""

    def let_go(self) -> None:  # noqa: B027, as most hold nothing
        """Hold nothing any more; what was not written yet is left out."""
