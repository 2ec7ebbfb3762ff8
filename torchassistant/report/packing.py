"""Numbers as a page can hold them: short, and exactly what they were."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

_WHOLE = (("i1", "b"), ("i2", "h"), ("i4", "i"))
_MOST_EXACT = 2**31


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
    if all(-_MOST_EXACT <= n < _MOST_EXACT and n == int(n) for n in numbers if n == n) and not any(
        n != n or (n == 0 and str(n).startswith("-")) for n in numbers
    ):
        whole = [int(n) for n in numbers]
        low, high = min(whole, default=0), max(whole, default=0)
        for name, code in _WHOLE:
            limit = 2 ** (8 * array(code).itemsize - 1)
            if -limit <= low and high < limit:
                return name, array(code, whole)
    exact = array("d", numbers)
    try:
        single = array("f", numbers)
    except OverflowError:
        return "f8", exact
    return ("f4", single) if array("d", single).tobytes() == exact.tobytes() else ("f8", exact)


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
