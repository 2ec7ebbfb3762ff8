"""What the readers of both forms of a config share: their result, their bounds, numbers."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from typing import Any, NamedTuple

from torchassistant.config.tree import UNREADABLE, Mark, Table, printable, walk
from torchassistant.errors import Place, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 100
MAX_DIGITS = 400
MOST_PROBLEMS = 10_000
SHOWN = 40
"""Characters of what the user wrote that a sentence repeats."""

TWICE = 'the key "{key}" is given twice in one object (first in line {line})'
DEEP = f"nested deeper than {MAX_DEPTH} levels"
HALF_A_PAIR = "this string holds half of a surrogate pair, which is not a character"

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Text(NamedTuple):
    """What was read from a text.

    Args:
        tree: The config; values that cannot be read are ``UNREADABLE`` in it. None where reading
            had to end early.
        problems: What is wrong with the text, in file order.
        file: The file that it stands in.
        included: Other files, of which parts of it come.
        in_parts: Whether the definitions of one of these were written in parts.
    """

    tree: Any
    problems: list[Problem]
    file: str = ""
    included: frozenset[str] = frozenset()
    in_parts: bool = False


class Stop(Exception):
    """Reading cannot go on; the problem is already noted."""


class Notes:
    """The problems of a text, each with line and column.

    Args:
        text: The text.
        file: The name under which problems are reported.
    """

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(self, at: int) -> Mark:
        """The position of an offset."""
        line = bisect_right(self.starts, at)
        return Mark(self.file, line, at - self.starts[line - 1] + 1)

    def note(self, message: str, at: int) -> None:
        """Note a problem.

        Raises:
            Stop: There are so many that nobody reads on.
        """
        self.problems.append(Problem(printable(message), Place(*self.mark(at))))
        if len(self.problems) >= MOST_PROBLEMS:
            raise Stop

    def fail(self, message: str, at: int) -> Stop:
        """Note a problem behind which nothing can be read; to be raised."""
        self.note(message, at)
        return Stop()


def is_number(word: str) -> bool:
    """Whether a word is a number of JSON."""
    return _NUMBER.fullmatch(word) is not None


def number(word: str) -> int | float:
    """The number that a word is.

    Raises:
        ValueError: It is none; or it is too long or too large, as the message says.
    """
    if word.lstrip("+-").isdecimal():
        if len(word) > MAX_DIGITS:
            raise ValueError("this number has too many digits")
        return int(word)
    value = float(word)
    if math.isinf(value):
        raise ValueError("this number is too large")
    return value


def joined(one: Any, other: Any) -> Any:
    """What two values of one key have in common, and what only one of them has."""
    if isinstance(one, Table) and isinstance(other, Table):
        for key in one:
            value = joined(one[key], other[key]) if key in other else one[key]
            other.take(one, key)
            other[key] = value
        return other
    return one if one == other else UNREADABLE


def as_text(value: Any) -> str | None:
    """A plain value as it is written inside a longer string; None for anything else."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float)):
        try:
            return json.dumps(value)
        except ValueError:  # data made in Python may hold a number of too many digits
            return None
    return None


def measure(value: Any, each: int = 0) -> tuple[int, int]:
    """About how many characters of JSON a value is, and how many levels lie below it.

    Args:
        value: The value.
        each: What each value in it counts besides.
    """
    size, depth = 0, 0
    for path, item in walk(value):
        keys = [str(step) for step in path[-1:] if isinstance(step, str)]
        size += 2 if isinstance(item, (dict, list)) else len(as_text(item) or "")
        size += sum(map(len, keys)) + len(path[-1:]) + each
        depth = max(depth, len(path))
    return size, depth
