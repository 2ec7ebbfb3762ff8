"""Functions of libraries, replaced for as long as something is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(what: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Put other values in the place of attributes, and those that were there back afterwards.

    Args:
        what: For each attribute its owner, its name, and the value that it has meanwhile.
    """
    before: list[tuple[Any, str, Any]] = []
    try:
        for owner, name, value in [*what]:
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)
