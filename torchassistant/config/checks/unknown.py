"""What is unknown, and already reported."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


class Unknown:
    """Stands for a part of a config that cannot be relied on, and is reported already.

    It absorbs every question, so that a check that forgets about it says nothing: what is asked of
    it is unknown too, nothing is in it that could be looked at, everything may be, and it is like
    nothing else and not unlike it either. Each stands for one place, so that in sets and tables no
    two are the same.
    """

    complete = False
    unreadable = math.inf

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Unknown:
        return self

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __contains__(self, item: object) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__
