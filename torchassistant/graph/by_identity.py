"""Objects of the user, told apart by which object they are.

A module, an optimizer or a dataset may have ``__eq__``, ``__hash__``, ``__bool__`` and ``__len__``
of its own, for purposes of its own: two models that were built alike may be equal, and are two. So
nothing in the package asks such an object whether it is true, or equal, or in a set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def distinct(objects: Iterable[T]) -> list[T]:
    """Each object once, in the order in which they first occur."""
    return list({id(one): one for one in objects}.values())


def is_among(one: object, objects: Iterable[object]) -> bool:
    """Whether this very object is one of them."""
    return any(one is other for other in objects)
