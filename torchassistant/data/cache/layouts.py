"""Layouts as they are read from a file: those that values have, and no others.

What is decoded follows from its layout alone. So each is held against a closed list of kinds and
dtypes, none of which is a pointer, and its numbers of bytes have to agree with each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from torchassistant.data.cache.values import DTYPES, ITEM_BYTES, PIXEL_BYTES, Layout
from torchassistant.files import InvalidFile

LARGEST = 2**62
"""No number of a layout reaches it, so none overflows."""

_MOST_DIMENSIONS = 64
_LONGEST_SIDE = 2**16
"""Of an image without pixels."""

_NUMERIC = {
    order.str
    for code in "?bhilqBHILQefdgFDG"
    for order in (np.dtype(code), np.dtype(code).newbyteorder())
}
_TEXTS_AND_TIMES = re.compile(
    r"\|S[1-9]\d{0,8}|[<>]U[1-9]\d{0,7}"
    r"|[<>][mM]8(\[([1-9]\d{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
)
_HASHABLE = frozenset(("none", "bool", "int", "float", "str", "bytes", "scalar", "tensor"))


def layout_of(data: Any) -> Layout:
    """The layout that JSON gives.

    Args:
        data: Lists, texts, numbers and None.

    Raises:
        InvalidFile: No value has it.
    """
    layout = _known(data)
    if layout is None:
        raise InvalidFile(f"has a layout that no value has ({_shortened(data)})")
    return layout


def is_count(number: Any) -> bool:
    """Whether something is a number of bytes, of examples or of elements."""
    return type(number) is int and 0 <= number < LARGEST


def _known(data: Any) -> Layout | None:
    """The layout, or None; so for parts of it."""
    if not isinstance(data, list) or len(data) < 2 or not is_count(data[1]):
        return None
    match data:
        case ["none", 0] | ["bool", 1] | ["int" | "float", 8] | ["str" | "bytes", _]:
            return tuple(data)
        case [str(kind), size] if kind in ITEM_BYTES:
            return tuple(data) if size % ITEM_BYTES[kind] == 0 else None
        case ["tensor", size, str(dtype), list(shape), strides] if dtype in DTYPES:
            if _bytes_of(shape, DTYPES[dtype].itemsize) == size and _is_dense(shape, strides):
                return "tensor", size, dtype, tuple(shape), _tuple(strides)
        case ["array", size, str(dtype), list(shape), order] if _is_stored(dtype):
            fits = _bytes_of(shape, np.dtype(dtype).itemsize) == size
            if fits and (order is None or _is_order(order, len(shape))):
                return "array", size, dtype, tuple(shape), _tuple(order)
        case ["scalar", size, str(dtype)] if dtype in _NUMERIC:
            return tuple(data) if size == np.dtype(dtype).itemsize else None
        case ["image", size, str(mode), [width, height]]:
            if is_count(width) and is_count(height) and _pixels(mode, width, height) == size:
                return "image", size, mode, (width, height)
        case ["list" | "tuple" as kind, size, list(parts)]:
            known = _all_known(parts, size)
            return None if known is None else (kind, size, known)
        case ["dict", size, keys, items]:
            known = _all_known([keys, items], size)
            if known is not None and _are_pairs(*known):
                return "dict", size, *known
    return None


def _all_known(parts: Sequence[Any], size: int) -> tuple[Layout, ...] | None:
    """The layouts of parts that have so many bytes together."""
    known = [layout for part in parts if (layout := _known(part)) is not None]
    fits = len(known) == len(parts) and sum(layout[1] for layout in known) == size
    return tuple(known) if fits else None


def _tuple(numbers: list[int] | None) -> tuple[int, ...] | None:
    return None if numbers is None else tuple(numbers)


def _is_stored(dtype: str) -> bool:
    return dtype in _NUMERIC or _TEXTS_AND_TIMES.fullmatch(dtype) is not None


def _bytes_of(shape: list[Any], itemsize: int) -> int | None:
    """The bytes of so many items; None where there is no such shape."""
    if len(shape) > _MOST_DIMENSIONS or not all(map(is_count, shape)):
        return None
    # An empty shape must not overflow either.
    return prod(shape) * itemsize if prod(filter(None, shape)) * itemsize < LARGEST else None


def _is_dense(shape: list[int], strides: Any) -> bool:
    """Whether each place of memory, from the first to the last, is one element."""
    if strides is None:
        return True
    if not isinstance(strides, list) or len(strides) != len(shape) or not prod(shape):
        return False
    if not all(map(is_count, strides)):
        return False
    step = 1
    for stride, size in sorted((t, n) for t, n in zip(strides, shape, strict=True) if n > 1):
        if stride != step:
            return False
        step *= size
    return True


def _is_order(order: Any, count: int) -> bool:
    are_ints = isinstance(order, list) and all(map(is_count, order))
    return are_ints and sorted(order) == list(range(count))


def _pixels(mode: str, width: int, height: int) -> int | None:
    """The bytes of an image; None where there is no such image."""
    if mode not in PIXEL_BYTES or not (width * height or max(width, height) < _LONGEST_SIDE):
        return None
    return (width + 7) // 8 * height if mode == "1" else width * height * PIXEL_BYTES[mode]


def _are_pairs(keys: Layout, items: Layout) -> bool:
    """Whether lists are the keys and the items of a dict."""
    lengths = [_length(keys), _length(items)]
    if None in lengths or lengths[0] != lengths[1]:
        return False
    return keys[0] != "list" or all(map(_is_hashable, keys[2]))


def _length(layout: Layout) -> int | None:
    """The elements of a list."""
    if layout[0] == "list":
        return len(layout[2])
    if layout[0].startswith("list of "):
        return int(layout[1] // ITEM_BYTES[layout[0]])
    return None


def _is_hashable(layout: Layout) -> bool:
    if layout[0] == "tuple":
        return all(map(_is_hashable, layout[2]))
    return layout[0] in _HASHABLE or layout[0].startswith("tuple of ")


def _shortened(data: Any) -> str:
    shown = ascii(data[:3] if isinstance(data, list) else data)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"
