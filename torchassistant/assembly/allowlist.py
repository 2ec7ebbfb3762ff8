"""What a config may have imported and called. A config is data; it may come from anywhere.

Importable are the catalogue of torchassistant, the modelling parts of torch, torchvision and
torchmetrics, and modules below the working directory; anything else only where the person at the
command line trusts it. What counts is the object that was found, by where it is defined, and not
the path that was written: ``logging.os.system`` is ``os.system``. Which modules may be imported is
said here; which callables of the libraries may be used, in the lists of ``reviewed_callables``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

from torchassistant.assembly.origin import home_of, is_as_defined, layers_of, name_of
from torchassistant.assembly.reviewed_callables import verdict_on
from torchassistant.ownership import settle, trusted_in_environment
from torchassistant.writing import Writing

DOWNLOAD_VARIABLE = "TORCHASSISTANT_ALLOW_DOWNLOAD"
WRITE_VARIABLE = "TORCHASSISTANT_ALLOW_WRITE"
LIBRARIES = ("torch", "torchassistant", "torchmetrics", "torchvision")
PRESETS = ("albumentations", "datasets", "timm", "tokenizers")
"""Libraries of which a config may name what has been reviewed, where the whole is trusted."""

_PACKAGE = Path(__file__).resolve().parents[1]
_CATALOGUE = tuple(
    f"torchassistant.{path.stem}"
    for path in sorted(_PACKAGE.glob("*.py"))
    if path.stem
    not in (
        *("__init__", "__main__", "codec", "earlier_names", "errors", "files", "frames"),
        *("import_garbage", "lateimports"),
        *("lock_holder", "messages", "ownership", "sizes", "terminal", "writing"),
    )
)
_MODELLING = {
    **dict.fromkeys(_CATALOGUE, True),
    "torchassistant.callbacks": True,
    "torch.distributions": True,
    "torch.fft": True,
    "torch.functional": True,
    "torch.linalg": True,
    "torch.nn": True,
    # Kernels are registered and compiled here, and code in C++ is wrapped.
    "torch.nn.attention": False,
    "torch.nn.cpp": False,
    "torch.nn.utils._deprecation_utils": False,
    "torch.optim": True,
    "torch.optim._multi_tensor": False,
    "torch.special": True,
    "torch.utils.data": True,
    "torch.utils.data._utils": False,
    "torch.utils.data._utils.collate": True,
    "torch.utils.data.datapipes": False,
    "torch.utils.data.graph": False,
    "torch.utils.data.graph_settings": False,
    "torch._lowrank": True,
    "torch._C._fft": True,
    "torch._C._linalg": True,
    "torch._C._nn": True,
    "torch._C._special": True,
    "torchmetrics": True,
    "torchmetrics.utilities": False,
    "torchvision.datasets": True,
    # Unpickles what lies beside the data.
    "torchvision.datasets.lsun": False,
    "torchvision.datasets.utils": False,
    "torchvision.models": True,
    # Writes code, with names of the model in it, and runs it.
    "torchvision.models.feature_extraction": False,
    "torchvision.ops": True,
    "torchvision.transforms": True,
    "torchvision.tv_tensors": True,
}
"""Modules of the libraries, and whether they are for configs: the longest name decides."""


class Allowlist:
    """What the person at the command line allows; decides what may be imported.

    Args:
        modules: What is trusted beyond the rest, as ``sklearn`` or ``my_library.models``, or a
            class or function, as ``torch.nn.NewThing``; those of the environment's
            ``TORCHASSISTANT_TRUST`` are added.
        allow_download: Whether a config may download, follow addresses and unpack what nobody
            pinned; ``TORCHASSISTANT_ALLOW_DOWNLOAD=1`` in the environment says so too.
        allow_write: Folders that a config may write into, beyond those that any config may; those
            of the environment's ``TORCHASSISTANT_ALLOW_WRITE`` are added, separated as in ``PATH``.
    """

    def __init__(
        self,
        modules: Iterable[str] = (),
        allow_download: bool = False,
        allow_write: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        self.modules = (*modules, *trusted_in_environment())
        self.allow_download = allow_download or os.environ.get(DOWNLOAD_VARIABLE, "0") not in (
            "",
            "0",
        )
        folders = os.environ.get(WRITE_VARIABLE, "").split(os.pathsep)
        # The working directory may be another one by the time that something is written.
        self.allow_write = tuple(os.path.abspath(f) for f in (*allow_write, *folders) if f)
        self.ownership = settle(self.modules)
        self.writing = Writing(self.ownership.root, self.allow_write)

    def trusts(self, module: str) -> bool:
        """Whether the person at the command line trusts a module, or a package that it is in."""
        return any(_within(module, name) for name in self.modules)

    def leads_to_trusted(self, module: str) -> bool:
        """Whether a module is allowlist, or is a package of something that is."""
        return self.trusts(module) or any(_within(name, module) for name in self.modules)

    def may_import(self, module: str, package: ModuleType | None = None) -> bool:
        """Whether a module may be imported; decided without importing it.

        Args:
            module: Its full name.
            package: What it is in, which is imported already; None where it is in none.
        """
        known = self._by_name(module)
        if known is not None:
            return known
        # A module may be a link to another place, though its package is no such link.
        top = module.partition(".")[0]
        return self._is_local(top) and (package is None or self._is_local(module, package))

    def may_look_into(self, module: ModuleType) -> bool:
        """Whether a module may be used that another one has imported, under whatever name."""
        known = self._by_name(home_of(module))
        return self._owns(module) if known is None else known

    def is_hidden(self, top: str) -> bool:
        """Whether something below the working directory takes the place of a library."""
        return top in LIBRARIES and top != "torchassistant" and self._is_local(top)

    def has_namesake(self, top: str) -> bool:
        """Whether a module in the working directory has the name of one of Python's own."""
        is_pythons = top in sys.stdlib_module_names
        return is_pythons and PathFinder.find_spec(top, [self.ownership.root]) is not None

    def stranger_in(self, found: Any) -> Any | None:
        """What of an object, or of what it wraps, may not be used; None where all may be."""
        outer, *inner = layers_of(found)
        if not is_as_defined(outer) and _of_library(outer) and not self._is_trusted(outer):
            return outer
        return next((layer for layer in (outer, *inner) if not self._may_use(layer)), None)

    def _may_use(self, layer: Any) -> bool:
        if self._is_trusted(layer):
            return True
        if _of_library(layer) or self.is_of_preset(layer):
            return verdict_on(layer).kind not in ("refused", "new")
        return self.may_come_from(home_of(layer))

    def _is_trusted(self, found: Any) -> bool:
        names = (home_of(found), name_of(found))
        by = {one for one in self.modules for name in names if _within(name, one)}
        return bool(by - {*PRESETS} if self.is_of_preset(found) else by)

    def is_of_preset(self, found: Any) -> bool:
        """Whether this is of a library of which what has been reviewed is trusted, as a whole."""
        home = home_of(found)
        top = home.partition(".")[0]
        # A folder of the user's may be called so.
        return top in PRESETS and top in self.modules and not self._owns(sys.modules.get(home))

    def may_come_from(self, home: str) -> bool:
        """Whether what a module defines may be used."""
        top = home.partition(".")[0]
        if self.trusts(home) or top in LIBRARIES:
            return self.trusts(home) or _is_modelling(home)
        return top not in sys.stdlib_module_names and self._owns(sys.modules.get(home))

    def _by_name(self, module: str) -> bool | None:
        """Whether a module may be imported, where its name alone says so; else None."""
        if self.leads_to_trusted(module):
            return True
        top = module.partition(".")[0]
        if top in LIBRARIES:
            return _is_modelling(module) or _holds_modelling(module)
        return False if top in sys.stdlib_module_names else None

    def _is_local(self, module: str, package: ModuleType | None = None) -> bool:
        """Whether what Python would import under this name is below the working directory.

        Libraries that are installed there are not meant.
        """
        if module in sys.modules:
            return self._owns(sys.modules[module])
        spec = spec_of(module, package)
        if spec is None:
            return False
        if spec.has_location and spec.origin:
            return self._is_below([spec.origin])
        return self._is_below(spec.submodule_search_locations)

    def _owns(self, module: ModuleType | None) -> bool:
        """Whether all files of a module are below the working directory."""
        # Not getattr: a module may answer for what it lacks with code of its own.
        said = {} if module is None else vars(module)
        file = said.get("__file__")
        return self._is_below([file] if file else said.get("__path__"))

    def _is_below(self, files: Iterable[str] | None) -> bool:
        paths = list(files or ())
        return bool(paths) and all(map(self.ownership.is_local, paths))


def spec_of(module: str, package: ModuleType | None = None) -> ModuleSpec | None:
    """What Python would import under a name, or None; it is not imported.

    Args:
        module: The full name.
        package: What the module is in, imported already; None where it is in none.
    """
    try:
        if package is None:
            return find_spec(module)
        return PathFinder.find_spec(module, vars(package).get("__path__", []))
    except (ImportError, ValueError):
        return None


def _is_modelling(module: str) -> bool:
    """Whether a module of a library is for configs."""
    name = module
    while name and name not in _MODELLING:
        name = name.rpartition(".")[0]
    return _MODELLING.get(name, False)


def _holds_modelling(package: str) -> bool:
    return any(
        _within(name, package) for name, is_for_configs in _MODELLING.items() if is_for_configs
    )


def is_for_reviewers(found: Any) -> bool:
    """Whether this is of the libraries' modelling parts, so that a person has to judge it."""
    home = home_of(found)
    if not _of_library(found) or not is_as_defined(found):
        return False
    is_of_tensors = home == "torch" and isinstance(found, BuiltinFunctionType)
    return is_of_tensors or _is_modelling(home)


def _of_library(found: Any) -> bool:
    return home_of(found).partition(".")[0] in LIBRARIES


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
