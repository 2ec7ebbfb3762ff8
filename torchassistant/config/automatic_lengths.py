"""``"auto"`` among the arguments of a learning rate scheduler: as long as its stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.tree import Path
from torchassistant.errors import listing, near, nearest

AUTO = "auto"
LENGTHS = ("total_steps", "T_max", "total_iters")
"""Arguments of torch's schedulers that say how long the learning rate changes."""


def lengths_in(arguments: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The lengths among arguments, however deep, that are given as a text, and where."""
    for where, text in _texts_in(arguments, path):
        if where[-1] in LENGTHS:
            yield where, text


def with_length(arguments: Any, length: int) -> Any:
    """The same arguments, with a number in the place of each length that is a text."""
    if isinstance(arguments, dict):
        return {
            key: length if key in LENGTHS and isinstance(value, str) else with_length(value, length)
            for key, value in arguments.items()
        }
    if isinstance(arguments, list):
        return [with_length(value, length) for value in arguments]
    return arguments


def misplaced_lengths(arguments: Any, is_torchs: bool) -> Iterator[tuple[Path, str]]:
    """Where among arguments a text is no length, or ``"auto"`` stands for something else.

    Args:
        arguments: Of a scheduler.
        is_torchs: Whether it is one of torch, of which it is known that no other takes ``"auto"``.

    Yields:
        The place below the arguments, and a sentence.
    """
    for where, text in _texts_in(arguments, ()):
        if where[-1] in LENGTHS:
            if text != AUTO:
                yield where, f'"{text}" is no number{near(text, [AUTO])}'
        elif is_torchs and nearest(text, [AUTO]) is not None:
            meant = "" if text == AUTO else f' seems to be "{AUTO}", which'
            named = ", given by name" if isinstance(where[-1], int) else ""
            yield where, f'"{text}"{meant} is a length{named}; there are {listing(LENGTHS)}'


def _texts_in(arguments: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(arguments, str):
        yield path, arguments
    elif isinstance(arguments, dict):
        for key, value in arguments.items():
            yield from _texts_in(value, (*path, key))
    elif isinstance(arguments, list):
        for index, value in enumerate(arguments):
            yield from _texts_in(value, (*path, index))
