"""Imports that Python's garbage collector does not interrupt.

Torch and torchvision make some millions of objects that live as long as the process. While they
are imported the collector looks through these again and again, and once more when the process
ends: a second, of the three that both take, in which it finds nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_commands = 0


@contextmanager
def of_command() -> Iterator[None]:
    """This process runs a command and nothing else: what it has imported is kept until it ends."""
    global _commands
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """Modules are imported in here, and nothing else is done.

    In the process of a command, what is there afterwards is exempt from all further collections.
    Elsewhere, in a notebook for example, it may be another's garbage, and is collected as usual.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if _commands:
            gc.freeze()
        gc.enable()
