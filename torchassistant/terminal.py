"""What a stream can show: how wide it is, whether it can be redrawn, whether it has colours."""

from __future__ import annotations

import os
from typing import IO, Literal

Colour = Literal["red", "green", "yellow", "cyan"]

USUAL = 80
"""The columns of a terminal that does not tell."""


def is_terminal(stream: IO[str]) -> bool:
    """Whether what was written to a stream can be written over: it is no file, nor a dumb one."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False


def width_of(stream: IO[str]) -> int:
    """The columns of a terminal."""
    return known_width(stream) or USUAL


def known_width(stream: IO[str]) -> int | None:
    """The columns of a terminal; None where it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def has_colours(stream: IO[str]) -> bool:
    """Whether a stream shows colours, and nobody has asked for none (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def painted(text: str, colour: Colour, stream: IO[str]) -> str:
    """A text in a colour, where the stream shows any."""
    if not has_colours(stream):
        return text
    from termcolor import colored

    return colored(text, colour, force_color=True)
