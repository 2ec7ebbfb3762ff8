"""Imports that Python's garbage collector does not interrupt.

Torch and torchvision, and libraries that the user's modules import, make some millions of objects
that live as long as the process. While they are imported the collector looks through these again
and again, and once more when the process ends: a second, of the three that torch and torchvision
take, in which it finds nothing.
"""

from __future__ import annotations

import gc
import sys
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

    In the process of a command, what is there after an import is exempt from all further
    collections. Elsewhere, in a notebook for example, it may be another's garbage, and is collected
    as usual; so is what is there where all modules had been imported before.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    before = len(sys.modules)
    try:
        yield
    finally:
        if _commands and len(sys.modules) > before:
            gc.freeze()
        gc.enable()
