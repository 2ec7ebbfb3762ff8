"""The modules of the working directory, which only the user's own code and the config may import.

The working directory does not stand on ``sys.path``: a library that imports something late, as
``torchvision.datasets.PCAM`` does with ``h5py``, would find whatever lies beside a config. Two
finders stand for it. Which module asks is told by the frame that runs the import.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from torchassistant import ownership
from torchassistant.compat.python import settings_of_children

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_FOR_THE_CONFIG = tuple(
    f"torchassistant.{name}"
    for name in ("assembly.importing", "assembly.allowlist", "config.source_inspection")
)
"""Our modules that import what a config names, or look at its source."""

_IMPORT_SYSTEM = vars(sys.modules[ModuleSpec.__module__])
"""The globals of what runs every import statement."""

_SAFE_PATH = "PYTHONSAFEPATH"
_PLACE = str(Path(__file__).resolve().parents[1])


class Folder:
    """Finds the modules of a folder for those who may import them, before anything else is asked.

    Python's own modules, and those of the libraries that we need, are found elsewhere: a
    ``json.py`` or ``torch.py`` in the folder would run in the place of what all is built on.

    Args:
        root: The working directory, without links.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the folder is; None leaves it to the others."""
        found = None if path is not None else self.spec_in(name)
        if found is None or not self._may_ask(_asker(sys._getframe(1))):
            return None
        others = PathFinder.find_spec(name)
        if others is not None:
            if self.is_needed(name):
                return None
            if found.loader is None:  # a folder that is no package gives way to one that is
                return None if others.loader is not None else _joined(found, others)
        return found if name not in sys.builtin_module_names else None

    def spec_in(self, name: str) -> ModuleSpec | None:
        """What the folder has under a name; nothing of it is run."""
        found = PathFinder.find_spec(name, [self.root])
        # Plain folders get a path that stays, whatever becomes of sys.path.
        return _joined(found) if found is not None and found.loader is None else found

    def is_needed(self, name: str) -> bool:
        """Whether a module is one of Python's, or of a library that we need."""
        return name in sys.stdlib_module_names or _is_required(name)

    def _may_ask(self, asker: dict[str, Any]) -> bool:
        name = str(asker.get("__name__"))
        if name in _FOR_THE_CONFIG or name.startswith("multiprocessing."):
            return True
        return ownership.lies_with_user(str(asker.get("__file__", "")))

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process is told of the folder before it imports anything of ours or the user's.
        said = (self.root, ownership.trusted_modules(), _Starting.safe_path)
        told = f"__import__({__name__!r}, fromlist=['']).taken_over(*{said!r})"
        return eval, (f"(__import__('sys').path.append({_PLACE!r}), {told})[1]",)


class LastResort:
    """Answers for the folder where nobody else has a module, to whoever asks.

    What the person at the command line trusts, and what is installed for editing from the folder,
    is for everybody. Of the rest it is said that it is there.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._installed: set[str] | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the folder is that is for everybody.

        Raises:
            ModuleNotFoundError: It is for the user's own code alone.
        """
        found = None if path is not None else self.folder.spec_in(name)
        if found is None:
            return None
        if name in map(_top, ownership.trusted_modules()) or name in self.installed:
            return found
        asker = _asker(sys._getframe(1))
        is_import = sys._getframe(2).f_globals is _IMPORT_SYSTEM
        if found.loader is None or not is_import:  # it is only asked whether there is one
            return None
        raise ModuleNotFoundError(
            f"No module named {name!r} (one lies in the working directory, and is not imported for "
            f"{asker.get('__name__')}, only for your own code and what the config names; "
            f"--trust {name} allows it)",
            name=name,
        )

    @property
    def installed(self) -> set[str]:
        """The names of what is installed for editing from the folder."""
        if self._installed is None:
            self._installed = set(_installed_from(self.folder.root))
        return self._installed


def stand_in() -> None:
    """Let the finders stand for the working directory, and take it off ``sys.path``."""
    _stand_in(os.path.realpath(os.getcwd()))


def _stand_in(root: str) -> Folder:
    folder = Folder(root)
    if not ownership.holds_libraries(root):
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != root]
    if not _is_standing():
        sys.meta_path.insert(0, folder)
        sys.meta_path.append(LastResort(folder))
    # Every process that is started from this one by multiprocessing gets a copy.
    settings_of_children()[__name__] = folder
    return folder


def _is_standing() -> bool:
    return any(isinstance(finder, Folder) for finder in sys.meta_path)


def taken_over(root: str, trusted: Sequence[str], safe_path: str | None) -> Folder:
    """Do the same in a process that was started from one where it was done.

    Args:
        root: The working directory.
        trusted: The modules that the person at the command line trusts.
        safe_path: What the environment said there of ``PYTHONSAFEPATH``.
    """
    sys.path.reverse()
    sys.path.remove(_PLACE)  # the last one, by which this module was found
    sys.path.reverse()
    _set_safe_path(safe_path)
    ownership.settle(trusted)
    return _stand_in(root)


class _Starting:
    """What the environment said of ``PYTHONSAFEPATH`` before a process was started."""

    safe_path: str | None = os.environ.get(_SAFE_PATH)


@contextmanager
def starting_processes(are_copies: bool) -> Iterator[None]:
    """Processes that are started in here find this package, and do not look around for others.

    One that is no copy of this one gets its ``sys.path``, from which the scripts take the folder
    that they stand in. Before that Python looks for its own modules in the working directory.

    Args:
        are_copies: Whether the processes are forked from this one.
    """
    path = list(sys.path)
    sys.path += [] if _PLACE in path else [_PLACE]
    before = _Starting.safe_path = os.environ.get(_SAFE_PATH)
    if not are_copies and _is_standing():
        _set_safe_path("1")
    try:
        yield
    finally:
        sys.path[:] = path
        _set_safe_path(before)


def keep_probes_away() -> None:
    """Let torch's compiler not try out what it has compiled with the modules of the folder.

    It starts Python on a piece of text, for which Python looks in the working directory first.
    """
    if not _is_standing():
        return
    from torchassistant.compat.compiler import begin_probe_with

    if not begin_probe_with(_CLEAN):
        _set_safe_path("1")  # Python looks there for nothing, whoever starts it


_CLEAN = "import sys; sys.path[:] = [entry for entry in sys.path if entry]\n"


def _set_safe_path(value: str | None) -> None:
    if value is None:
        os.environ.pop(_SAFE_PATH, None)
    else:
        os.environ[_SAFE_PATH] = value


def _asker(frame: FrameType | None) -> dict[str, Any]:
    """The globals of the module that imports something.

    Python's own modules are passed over, code that was never in a file, and what unpickles for
    somebody else. A message of another process is unpickled by ``multiprocessing`` itself, whoever
    waits for it.
    """
    while frame is not None:
        said, name = frame.f_globals, str(frame.f_globals.get("__name__"))
        if name == _TRACER:
            said = getattr(frame.f_locals.get("self"), "f_globals", said)
        if name.startswith("multiprocessing."):
            return said
        is_pythons = _top(name) in sys.stdlib_module_names
        if "__file__" in said and not is_pythons and name not in _UNPICKLERS:
            return said
        frame = frame.f_back
    return {}


_UNPICKLERS = {
    "dill._dill",
    "joblib.numpy_pickle",
    "numpy.lib._format_impl",
    "numpy.lib._npyio_impl",
    "numpy.lib.format",
    "numpy.lib.npyio",
    "pandas.compat.pickle_compat",
    "pandas.io.pickle",
    "torch.serialization",
}
"""Import what an object in a file is made of, as ``pickle`` does, for whoever has it read."""

_TRACER = "torch._dynamo.symbolic_convert"
"""Imports what the code imports that it compiles, in its place."""


def _top(name: str) -> str:
    return name.partition(".")[0]


def _joined(*specs: ModuleSpec) -> ModuleSpec:
    """One package of several folders that are none, with a path that stays as it is."""
    joined = ModuleSpec(specs[0].name, None, is_package=True)
    for spec in specs:
        joined.submodule_search_locations += list(spec.submodule_search_locations or ())  # type: ignore[operator]
    return joined


def _installed_from(root: str) -> Iterator[str]:
    """The names of modules of distributions that are installed for editing from a folder."""
    from importlib.metadata import distributions

    address = Path(root).as_uri()
    for distribution in distributions():
        text = distribution.read_text("direct_url.json")
        if text is None or address not in text:
            continue
        told = json.loads(text)
        if told.get("url") == address and told.get("dir_info", {}).get("editable"):
            tops = _text(distribution, "top_level.txt").split()
            yield from tops if len(tops) else [re.sub(r"[-.]+", "_", distribution.name)]


@cache
def _is_required(name: str) -> bool:
    """Whether a module is of this distribution, or of one that it requires."""
    return any(_has(distribution, name) for distribution in _required())


@cache
def _required() -> tuple[Distribution, ...]:
    """This distribution and all that it requires, as far as they are installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    found: dict[str, Distribution] = {}
    seen: set[str] = set()
    waiting = ["torchassistant", "torch", "torchvision", "torchmetrics"]
    while waiting:
        name = _plain(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        required = found[name].requires or []
        waiting += [re.split(r"[^\w.-]", one)[0] for one in required if "extra ==" not in one]
    return tuple(found.values())


def _has(distribution: Distribution, name: str) -> bool:
    """Whether a module is of a distribution, by its names at the top or its list of files.

    The list is searched as one text: that of torch has 20,000 lines.
    """
    if name in _text(distribution, "top_level.txt").split():
        return True
    files = _text(distribution, "RECORD")
    return re.search(rf"^{re.escape(name)}[/.]", files, re.MULTILINE) is not None


def _text(distribution: Distribution, name: str) -> str:
    """What a file of a distribution's metadata holds; nothing where it has none."""
    text = distribution.read_text(name)
    return "" if text is None else text


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
