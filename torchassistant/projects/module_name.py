"""From the name of a folder to the name of the module in it."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from functools import cache
from importlib.metadata import packages_distributions

_LONGEST = 40


def module_name(folder: str) -> str:
    """A name that Python can import, and that no module of Python or of a library has.

    >>> module_name("My first-run 2")
    'my_first_run_2'
    >>> module_name("torch")
    'torch_project'
    """
    text = unicodedata.normalize("NFKC", folder.lower())
    found = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in text)
    found = re.sub("_+", "_", found[:_LONGEST]).strip("_")
    if not found.isidentifier():
        found = f"project_{found}".strip("_")
    return f"{found}_project" if _is_taken(found) else found


def _is_taken(name: str) -> bool:
    return keyword.iskeyword(name) or name in sys.stdlib_module_names or name in _installed()


@cache
def _installed() -> frozenset[str]:
    """The modules of all installed libraries."""
    return frozenset(packages_distributions())
