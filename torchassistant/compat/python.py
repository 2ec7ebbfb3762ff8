"""What Python keeps private about processes and protocols; nothing else is imported here."""

from __future__ import annotations

import multiprocessing
import typing
from typing import Any

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
