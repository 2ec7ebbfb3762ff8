"""The working directory on Python's path, where it hides neither Python nor the libraries."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


def put_first() -> None:
    """Let the user's modules win over all others, but those that TorchAssistant itself needs."""
    folder = os.getcwd()
    sys.meta_path.insert(0, NeededFirst(folder))
    sys.path[:] = [folder, *(sys.path[1:] if _is_scripts(sys.path[0]) else sys.path)]


def _is_scripts(entry: str) -> bool:
    """Whether Python has put this first because a script of ours was called that lies there.

    What lies beside the scripts, as ``examples``, is not the user's. An installed package has no
    scripts beside it, but all other libraries.
    """
    beside = Path(__file__).resolve().parents[2]
    called = Path(sys.argv[0]).resolve()
    return bool(entry) and Path(entry).resolve() == beside == called.parent


class NeededFirst:
    """Finds Python's modules, and those of our libraries, elsewhere than in a folder.

    Args:
        folder: The working directory. A ``json.py`` or ``torch.py`` there would otherwise run in
            the place of what the whole program is built on.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.needed: set[str] | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where such a module is; None leaves it to the usual order."""
        if path is not None or PathFinder.find_spec(name, [self.folder]) is None:
            return None
        others = [entry for entry in sys.path if os.path.realpath(entry) != self.folder]
        found = PathFinder.find_spec(name, others)
        return found if found is not None and self.is_needed(name) else None

    def is_needed(self, name: str) -> bool:
        """Whether a module is one of Python's, or of a library that we need."""
        if name in sys.stdlib_module_names:
            return True
        if self.needed is None:
            self.needed = modules_of("torchassistant")
        return name in self.needed


def modules_of(distribution: str) -> set[str]:
    """The names of the modules of a distribution, and of all that it requires."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, requires

    seen: set[str] = set()
    waiting = [distribution, "torch", "torchvision", "torchmetrics"]
    while waiting:
        name = _plain(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            required = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting += [re.split(r"[^\w.-]", one)[0] for one in required if "extra ==" not in one]
    return {
        module
        for module, owners in packages_distributions().items()
        if any(_plain(owner) in seen for owner in owners)
    }


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
