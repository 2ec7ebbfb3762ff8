"""Numbers as a page can hold them: short, and exactly what they were."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

_TYPES = (("i1", "b"), ("i2", "h"), ("i4", "i"), ("f4", "f"))
"""From the shortest one on, with the codes of Python's arrays."""


def packed(values: Sequence[float | None]) -> dict[str, Any]:
    """Numbers in Base64, in the shortest type that holds each of them exactly.

    Args:
        values: None where there is none.

    Returns:
        ``type``: ``i1``, ``i2``, ``i4``, ``f4`` or ``f8``, as little-endian bytes hold them;
        ``data``: these bytes; ``empty``: where nothing is, as pairs of a place and a length, left
        out if something is everywhere.
    """
    numbers = [0.0 if value is None else value for value in values]
    name, data = _shortest(numbers)
    if sys.byteorder == "big":
        data.byteswap()
    found: dict[str, Any] = {"type": name, "data": b64encode(data.tobytes()).decode()}
    empty = list(_empty(values))
    return found | {"empty": empty} if empty else found


def _shortest(numbers: Sequence[float]) -> tuple[str, array[Any]]:
    exact = array("d", numbers)
    for name, code in _TYPES:
        try:
            short = array(code, map(int, numbers) if code != "f" else numbers)
        except (OverflowError, ValueError):  # too large, or not finite
            continue
        if array("d", short).tobytes() == exact.tobytes():
            return name, short
    return "f8", exact


def _empty(values: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    start = None
    for place, value in enumerate(values):
        if value is None:
            start = place if start is None else start
        elif start is not None:
            yield start, place - start
            start = None
    if start is not None:
        yield start, len(values) - start
