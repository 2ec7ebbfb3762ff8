"""Results as text: a table for a person, JSON for a program."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torchassistant.errors import Problem, escaped_in_json, in_one_line


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, whose columns are as wide as what stands in them."""
    shown = [[in_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()


def as_word(path: str) -> str:
    """A path as a word of a command that can be typed, and is no option.

    >>> as_word("-my run")
    "'./-my run'"
    """
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def as_json(data: Any) -> str:
    """Data as JSON that a terminal can show."""
    return escaped_in_json(json.dumps(data, indent=2, ensure_ascii=False))


def finite(value: Any) -> Any:
    """The same data, with null for what is not finite: JSON has no name for it."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def problems_as_data(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Problems, each with the place that it is about; what is not known of it is None."""
    return [
        {
            "message": problem.message,
            "details": problem.details or None,
            "file": problem.place.file or None,
            "line": problem.place.line or None,
            "column": problem.place.column or None,
            "path": problem.place.path or None,
        }
        for problem in problems
    ]


def counted(number: int, what: str) -> str:
    """How many there are of something.

    >>> counted(2, "batch")
    '2 batches'
    """
    plural = f"{what}es" if what.endswith(("tch", "ss")) else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"
