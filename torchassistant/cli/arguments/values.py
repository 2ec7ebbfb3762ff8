"""What the text of an argument may be, and what it stands for."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable


def device(text: str) -> str:
    """The name of a device."""
    if re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,4})?", text) is None:
        raise ArgumentTypeError(f"must be auto, cpu, mps, cuda or cuda:N; found {text!r}")
    return text


def batch(text: str) -> int | None:
    """The size of a batch; None for any."""
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number from 1, or dynamic; found {text!r}")
    return int(text)


def rate(text: str) -> float:
    """A learning rate."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ArgumentTypeError(f"must be a number above 0; found {text!r}")
    return found


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of at least so many."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            bound = f" of at least {least}" if least else ""
            raise ArgumentTypeError(f"must be a whole number{bound}; found {text!r}")
        return int(text)

    return number
