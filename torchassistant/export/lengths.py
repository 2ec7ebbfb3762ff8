"""``len(tensor)``, which Python makes a plain number, and an exporter a size that never changes."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def lengths_of_any_size() -> Iterator[None]:
    """Let ``len`` of a tensor be the size of its first axis, which may be any, in here."""
    plain = builtins.len

    def length(value: Any, /) -> Any:
        return value.shape[0] if isinstance(value, Tensor) and value.ndim else plain(value)

    builtins.len = length
    try:
        yield
    finally:
        builtins.len = plain
