"""Sizes in bytes, as a person writes them: ``500 MB``, ``2 GiB``."""

from __future__ import annotations

import os
import re
from decimal import Decimal

PATTERN = r"^[1-9][0-9]{0,8}(\.[0-9]{1,3})? ?([kKMGT]i?)?B$"
"""What a size looks like: a number, perhaps a space, and a unit."""

_PARTS = re.compile(r"([0-9.]+) ?([kKMGT]?)(i?)B", re.ASCII)
_PREFIXES = "kMGT"


def bytes_of(size: int | str) -> int:
    """The bytes that a size means: a kB is 1000 of them, a KiB 1024; parts of one are dropped.

    Raises:
        ValueError: The text is no size.
    """
    if isinstance(size, int):
        return size
    parts = _PARTS.fullmatch(size) if re.search(PATTERN, size, re.ASCII) else None
    if parts is None:
        raise ValueError(f'expected a size such as "500 MB" or "2 GiB", found "{size}"')
    number, prefix, binary = parts.groups()
    power = _PREFIXES.index("k" if prefix == "K" else prefix) + 1 if prefix else 0
    return int(Decimal(number) * (1024 if binary else 1000) ** power)


def size_text(size: int) -> str:
    """Bytes for a person to read, to three digits.

    >>> size_text(1797 * 64)
    '115 kB'
    """
    value, unit = float(size), "B"
    for prefix in _PREFIXES:
        if value < 999.5:
            break
        value, unit = value / 1000, f"{prefix}B"
    return f"{value:.3g} {unit}"


def machine_memory() -> int:
    """The bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
