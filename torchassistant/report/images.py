"""Tensors of examples as images: told from others by their shapes, and written as PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import chain
from math import isfinite, prod
from typing import Any

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}
"""Of PNG, by the number of channels."""
_LEAST_SIDE, _MOST_PIXELS = 4, 1 << 20


def is_image(shape: Sequence[int]) -> bool:
    """Whether a shape is (C, H, W), with C of 1, 3 or 4, of neither a dot nor a giant."""
    if len(shape) != 3 or shape[0] not in _COLOR_TYPES:
        return False
    return min(shape[1:]) >= _LEAST_SIDE and prod(shape[1:]) <= _MOST_PIXELS


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of nested lists of numbers; () of whatever is none."""
    shape = []
    level = [value]
    while level and all(isinstance(one, list) for one in level):
        lengths = {len(one) for one in level}
        if len(lengths) != 1:
            return ()
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    is_whole = all(isinstance(one, int | float) for one in level)
    return tuple(shape) if is_whole else ()


def flat(value: Any, depth: int) -> list[float]:
    """The numbers in nested lists, row by row."""
    for _ in range(depth - 1):
        value = list(chain.from_iterable(value))
    return list(value)


def png_of_numbers(shape: Sequence[int], numbers: Sequence[float]) -> bytes:
    """Numbers as an image.

    Brightness goes from 0 to 1, of whole numbers from 0 to 255; what is beyond that, as in images
    that were normalised, from the least to the largest number.

    Args:
        shape: (C, H, W).
        numbers: Row by row of each channel; one that is not finite is black.
    """
    channels, height, width = shape
    pixels = bytes(_bytes_of(numbers))
    planes = [pixels[at * height * width : (at + 1) * height * width] for at in range(channels)]
    mixed = bytearray(len(pixels))
    for place, plane in enumerate(planes):
        mixed[place::channels] = plane
    length = channels * width
    lines = b"".join(b"\0" + mixed[at * length : (at + 1) * length] for at in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _bytes_of(numbers: Sequence[float]) -> list[int]:
    finite = [number for number in numbers if isfinite(number)] or [0.0]
    low, high = min(finite), max(finite)
    if low >= 0 and high > 1 and high <= 255 and all(number == int(number) for number in finite):
        low, high = 0, 255
    elif low >= -0.01 and high <= 1.01:
        low, high = 0, 1
    scale = 255 / ((high - low) or 1)
    return [
        min(255, max(0, round((number - low) * scale))) if isfinite(number) else 0
        for number in numbers
    ]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
