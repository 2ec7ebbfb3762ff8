"""What Python keeps private: its processes, protocols, and stack; nothing else is imported here."""

from __future__ import annotations

import multiprocessing
import typing
from collections.abc import Callable
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_STACK_ROOM = 1 << 16
"""In pointers: some thousand frames."""

_CONFIG = "_config"
_IS_PROTOCOL = "_is_protocol"


def settings_of_children() -> dict[str, Any]:
    """The table that each process started from this one by ``multiprocessing`` gets a copy of.

    Private: ``_config`` of ``multiprocessing.current_process()``, in Python 3.11. A process that is
    no fork has to know the working directory before it unpickles an object of the user.

    Without it: a table that nobody copies. Forked processes have everything all the same; others
    find only modules that are installed.
    """
    table = getattr(multiprocessing.current_process(), _CONFIG, None)
    return table if isinstance(table, dict) else {}


def is_protocol(kind: type) -> bool:
    """Whether a class is a protocol, so that its instances may be of any class.

    Private: ``_is_protocol``, in Python 3.11 and 3.12; later ones have ``typing.is_protocol``.

    Without either: False, and a value of that class is taken at its word.
    """
    public = getattr(typing, "is_protocol", None)
    return (getattr(kind, _IS_PROTOCOL, False) if public is None else public(kind)) is True


def with_stack_room(run: Callable[[], _Result]) -> _Result:
    """Call a function whose own calls, however deep, find room on Python's stack.

    Python keeps frames in chunks of 16 KiB, and gives a chunk back to the system as soon as its
    first frame returns. A loop that happens to call across a border takes and gives back a chunk
    every time, which costs more than most calls: a fifth of a second while scipy is imported, and
    up to half of a small iteration.

    Private: that there are chunks, in Python 3.11 to 3.14 (CPython's issue 142183).
    A frame that says that it needs more gets a chunk of that size, in which all further ones lie.

    Without it: a frame that asks for memory, and never touches it.
    """

    def roomy() -> _Result:
        return run()

    roomy.__code__ = roomy.__code__.replace(co_stacksize=_STACK_ROOM)
    return roomy()
