"""Whose code a file is: the user's own, a library's, or ours.

The user's own is what lies below the working directory, or was named by ``--trust``. A library's is
what lies where Python installs packages, or belongs to a distribution that is installed somewhere
else on Python's path, whichever interpreter or environment it was installed with.
"""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

TRUST_VARIABLE = "TORCHASSISTANT_TRUST"
"""What in the environment adds to ``--trust``."""
WORKERS_TRACEBACK = "Original Traceback (most recent call last):\n"
"""What torch writes before the traceback of a loader's worker, which arrives as text."""

_PACKAGE = str(Path(__file__).resolve().parent)
_BY_NAME = frozenset(("site-packages", "dist-packages"))
_PLACES = frozenset(
    os.path.realpath(folder)
    for folder in (
        *(sysconfig.get_paths()[key] for key in ("purelib", "platlib", "stdlib", "platstdlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)


class Ownership:
    """Says of files whose they are.

    Args:
        trusted: The modules and packages that the person at the command line trusts.

    The working directory is the one in which this is made, whatever code of the user does later.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self.trusted = tuple(trusted)
        self.root = os.path.realpath(os.getcwd())

    def is_local(self, file: str) -> bool:
        """Whether a file or folder lies below the working directory, and is no library's."""
        path = os.path.realpath(file)
        return is_in(path, self.root) and not self._is_installed(path, here=True)

    def is_users(self, file: str) -> bool:
        """Whether code in this file is the user's own."""
        # <string>, <frozen …>, <eval_with_key>: code that was never in a file
        if not file or file.startswith("<"):
            return False
        path = os.path.realpath(file)
        if is_in(path, _PACKAGE) or self._is_installed(path, here=True):
            return False
        return is_in(path, self.root) or any(is_in(path, place) for place in self._trusted_places())

    def lies_with_user(self, file: str) -> bool:
        """Whether code in this file is the user's own, or is installed among it.

        That is where a library is installed at the top of the working directory itself.
        """
        if self.is_users(file):
            return True
        if not file or file.startswith("<"):  # as <frozen os>, which is in no folder
            return False
        path = os.path.realpath(file)
        return is_in(path, self.root) and not self._is_installed(path, here=False)

    def _is_installed(self, path: str, here: bool) -> bool:
        """Whether a real path belongs to a library.

        Args:
            path: The path.
            here: Whether those count that are installed at the top of the working directory.
        """
        # A project may itself lie where packages are installed; what counts is what it is in first.
        is_below = is_in(path, self.root)
        steps = os.path.relpath(path, self.root) if is_below else path
        if _BY_NAME & set(steps.split(os.sep)):
            return True
        places = (place for place in _PLACES if not is_below or is_in(place, self.root))
        if any(is_in(path, place) for place in places):
            return True
        is_fixed = all(map(os.path.isabs, sys.path))
        searched = _searched(tuple(sys.path), "" if is_fixed else os.getcwd()) - {self.root}
        return any(_is_of_distribution(path, folder) for folder in searched) or (
            here and _is_of_distribution(path, self.root)
        )

    def _trusted_places(self) -> list[str]:
        """The files and folders of the trusted modules that are imported."""
        modules = [vars(sys.modules[name]) for name in self.trusted if name in sys.modules]
        # A namespace package has no file.
        files = [file for m in modules for file in m.get("__path__") or [m.get("__file__")]]
        return [os.path.realpath(file) for file in files if file]


def trusted_in_environment() -> list[str]:
    """What the environment adds to ``--trust``: modules, and folders."""
    text = os.environ.get(TRUST_VARIABLE, "")
    return text.replace(",", " ").replace(os.pathsep, " ").split()


def is_users_file(file: str) -> bool:
    """Whether code in this file is the user's own: neither ours nor a library's."""
    return _now().is_users(file)


def lies_with_user(file: str) -> bool:
    """Whether code in this file is the user's own, or is installed among it."""
    return _now().lies_with_user(file)


def trusted_modules() -> tuple[str, ...]:
    """The modules that the person at the command line trusts."""
    return _now().trusted


def holds_libraries(folder: str) -> bool:
    """Whether a folder is one in which Python installs packages, or has its own."""
    return folder in _PLACES or os.path.basename(folder) in _BY_NAME


def is_from_users_code(error: BaseException) -> bool:
    """Whether code of the user's own was running when this was raised, here or in a worker."""
    if WORKERS_TRACEBACK in str(error):
        files = re.findall(r'^  File "([^"]+)"', str(error), flags=re.MULTILINE)
        return any(is_users_file(file) for file in files)
    frames = traceback.walk_tb(error.__traceback__)
    return any(is_users_file(frame.f_code.co_filename) for frame, _ in frames)


def settle(trusted: Sequence[str]) -> Ownership:
    """What counts from now on, also for tracebacks, which know of no ``--trust``."""
    _settled[:] = [Ownership(trusted)]
    return _settled[0]


_settled: list[Ownership] = []


def _now() -> Ownership:
    return _settled[0] if _settled else Ownership()


def _is_of_distribution(path: str, folder: str) -> bool:
    """Whether a distribution is installed in a folder, and a path below it belongs to that."""
    if not is_in(path, folder) or path == folder:
        return False
    return os.path.relpath(path, folder).partition(os.sep)[0] in _installed_in(folder)


@lru_cache(maxsize=1)
def _searched(path: Sequence[str], working_directory: str) -> frozenset[str]:
    """The folders of Python's path without links; what is relative is so to the second."""
    return frozenset(os.path.realpath(os.path.join(working_directory, folder)) for folder in path)


@cache
def _installed_in(folder: str) -> frozenset[str]:
    """The files and packages at the top of a folder that distributions installed there.

    The metadata of a project in its own folder, as an editable installation leaves it there, tells
    of no installed files.
    """
    from importlib.metadata import distributions  # a fifth of what --help takes

    tops: set[str] = set()
    for distribution in distributions(path=[folder]):
        if distribution.read_text("RECORD") or distribution.read_text("installed-files.txt"):
            tops |= {file.parts[0] for file in distribution.files or ()}
    return frozenset(tops - {"..", "/", "__pycache__"})


def is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
