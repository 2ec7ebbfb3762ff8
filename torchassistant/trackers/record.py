"""What a tracker is given of a session: numbers, pictures, texts, each with step and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

Outcome = Literal["finished", "stopped", "failed"]
"""How a run has ended."""


class Key(NamedTuple):
    """What makes a point one and the same wherever it is kept.

    Args:
        tag: What is shown under which name.
        step: Iterations over all stages.
        milliseconds: Since 1970, UTC. Two rows of one step, of two stages, differ in it.
    """

    tag: str
    step: int
    milliseconds: int


def key_of(tag: str, step: int, time: float) -> Key:
    """The key of a point or a picture; ``time`` is in seconds since 1970, UTC."""
    return Key(tag, step, round(time * 1000))


class Point(NamedTuple):
    """A number.

    Args:
        tag: As in :class:`Key`.
        step: Likewise.
        time: When its row was made, in seconds since 1970, UTC.
        value: NaN and infinities too.
    """

    tag: str
    step: int
    time: float
    value: float

    @property
    def key(self) -> Key:
        """What it is known by."""
        return key_of(self.tag, self.step, self.time)


class Picture(NamedTuple):
    """A picture.

    Args:
        tag: As in :class:`Key`.
        step: Likewise.
        time: As of a point.
        draw: Gives its pixels: uint8 (H, W, 3), red, green and blue.
    """

    tag: str
    step: int
    time: float
    draw: Callable[[], Any]

    @property
    def key(self) -> Key:
        """What it is known by."""
        return key_of(self.tag, self.step, self.time)


class Text(NamedTuple):
    """A text.

    Args:
        tag: As in :class:`Key`.
        step: Likewise.
        time: As of a point.
        read: Gives it, in Markdown.
    """

    tag: str
    step: int
    time: float
    read: Callable[[], str]

    @property
    def key(self) -> Key:
        """What it is known by."""
        return key_of(self.tag, self.step, self.time)


@dataclass(slots=True)
class News:
    """What is new, each kind in the order of its steps."""

    points: list[Point] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def __len__(self) -> int:
        """How many of all kinds."""
        return len(self.points) + len(self.pictures) + len(self.texts)

    def without(self, keys: set[Key]) -> News:
        """Those that are not among the keys."""
        return News(
            [point for point in self.points if point.key not in keys],
            [picture for picture in self.pictures if picture.key not in keys],
            [text for text in self.texts if text.key not in keys],
        )

    @property
    def keys(self) -> set[Key]:
        """Of all of them."""
        points = {point.key for point in self.points}
        return points | {p.key for p in self.pictures} | {text.key for text in self.texts}


@dataclass(frozen=True, slots=True)
class About:
    """What does not change while a session is trained.

    Args:
        session: Tells it from every other one.
        name: The name of its folder.
        created: When, in seconds since 1970, UTC.
        config: Its config, as JSON.
        parameters: What its objects are made with, by ``GROUP.NAME.ARGUMENT``.
    """

    session: str
    name: str
    created: float
    config: str
    parameters: Mapping[str, str | int | float | bool]


class Source(Protocol):
    """A session, as far as trackers are concerned. It tells only what is stored."""

    about: About

    def news(self) -> News:
        """What is new since it was asked last; the first time, everything."""
