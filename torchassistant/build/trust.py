"""What a config may have imported and called. A config is data; it may come from anywhere.

Importable are the catalogue of torchassistant, the modelling parts of torch, torchvision and
torchmetrics, and modules below the working directory; anything else only where the person at the
command line trusts it. What is judged is the object that was found, by the module that defines it,
and not the path that was written: ``logging.os.system`` is ``os.system``.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from torchassistant.ownership import settle

VARIABLE = "TORCHASSISTANT_TRUST"
DOWNLOAD_VARIABLE = "TORCHASSISTANT_ALLOW_DOWNLOAD"
WRITE_VARIABLE = "TORCHASSISTANT_ALLOW_WRITE"
LIBRARIES = ("torch", "torchassistant", "torchmetrics", "torchvision")

_PACKAGE = Path(__file__).resolve().parents[1]
_CATALOGUE = tuple(
    f"torchassistant.{path.stem}"
    for path in sorted(_PACKAGE.glob("*.py"))
    if path.stem not in ("__init__", "__main__", "errors", "files", "frames", "ownership")
)
_MODELLING = {
    **dict.fromkeys(_CATALOGUE, True),
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

_CLASSES_ONLY = ("torch.nn.parallel", "torchvision.datasets")
"""Their functions call what they are given, or read, unpack and fetch files."""

_FETCHING = "model_name_or_path"
"""What has this parameter loads a model from the network by its name, and some run its code."""

_TENSOR_TYPES = ("Generator", "Size", "Tensor", "device")
_NO_TENSOR_FUNCTIONS = ("from_file",)
# Modules in C, by the name under which people know them.
_KNOWN_AS = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path", "_io": "io"}


class Trust:
    """What the person at the command line allows; decides what may be imported.

    Args:
        modules: What is trusted beyond the rest, as ``sklearn`` or ``my_library.models``; those of
            the environment's ``TORCHASSISTANT_TRUST`` are added.
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
        given = os.environ.get(VARIABLE, "").replace(",", " ").replace(os.pathsep, " ").split()
        self.modules = (*modules, *given)
        self.allow_download = allow_download or os.environ.get(DOWNLOAD_VARIABLE, "0") not in (
            "",
            "0",
        )
        folders = os.environ.get(WRITE_VARIABLE, "").split(os.pathsep)
        # The working directory may be another one by the time that something is written.
        self.allow_write = tuple(os.path.abspath(f) for f in (*allow_write, *folders) if f)
        self.ownership = settle(self.modules)

    def trusts(self, module: str) -> bool:
        """Whether the person at the command line trusts a module, or a package that it is in."""
        return any(_within(module, name) for name in self.modules)

    def leads_to_trusted(self, module: str) -> bool:
        """Whether a module is trusted, or is a package of something that is."""
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

    def stranger_in(self, found: Any) -> str | None:
        """The module that defines what of an object may not be used; None where all may be."""
        outer, *inner = _layers_of(found)
        if not self._may_use(outer):
            return home_of(outer)
        homes = map(home_of, inner)
        return next((home for home in homes if not self.may_come_from(home)), None)

    def _may_use(self, found: Any) -> bool:
        home = home_of(found)
        if self.trusts(home) or _is_tensor_made(found):
            return True
        from_library = home.partition(".")[0] in LIBRARIES
        return self.may_come_from(home) and not (from_library and _is_machinery(found, home))

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


def home_of(found: Any) -> str:
    """The module that defines an object; that of its class, where it is an instance."""
    if isinstance(found, ModuleType):
        return _KNOWN_AS.get(found.__name__, found.__name__)
    if isinstance(found, MethodType):
        found = found.__func__
    if not isinstance(found, (type, FunctionType, BuiltinFunctionType)):
        found = type(found)
    name = getattr(found, "__module__", None)
    if isinstance(found, BuiltinFunctionType):
        owner = found.__self__
        if isinstance(owner, ModuleType):
            name = owner.__name__
        elif owner is not None and not name:
            name = _class_with(found.__name__, owner).__module__
    name = str(name or "builtins")
    return _KNOWN_AS.get(name, name)


def _class_with(name: str, owner: Any) -> type:
    """The class that a builtin method comes from."""
    bound_to = owner if isinstance(owner, type) else type(owner)
    known = (*inspect.getmro(bound_to), *inspect.getmro(type(bound_to)))
    return next((one for one in known if name in vars(one)), bound_to)


def _layers_of(found: Any) -> list[Any]:
    """An object, and what it wraps, to the inmost function; one at least.

    A function counts with what it decorates. Of ``functools.partial``, and of objects that a
    function was decorated with, as by ``functools.lru_cache``, only the function counts.
    """
    layers: list[Any] = []
    for _ in range(_DEEPEST):
        if isinstance(found, functools.partial):
            found = found.func
            continue
        if isinstance(found, MethodType) and not isinstance(found.__func__, FunctionType):
            found = found.__func__
            continue
        wrapped = _wrapped_by(found)
        if wrapped is None or isinstance(found, (FunctionType, MethodType)):
            layers.append(found)
        if wrapped is None:
            return layers
        found = wrapped
    return [*layers, found]


_DEEPEST = 100
"""Who wraps more often than this wraps in a circle."""


def _wrapped_by(found: Any) -> Any:
    """What ``functools.update_wrapper`` noted, or None. No code of the object is run."""
    if isinstance(found, type):
        return None
    if isinstance(found, MethodType):
        found = found.__func__
    return inspect.getattr_static(found, "__wrapped__", None)


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


def _is_tensor_made(found: Any) -> bool:
    """Whether this is one of torch's functions of tensors, or a type that goes with them."""
    import torch

    name = getattr(found, "__name__", "")
    if isinstance(found, type):
        return name in _TENSOR_TYPES and found is getattr(torch, name)
    if not isinstance(found, BuiltinFunctionType) or name in _NO_TENSOR_FUNCTIONS:
        return False
    return bool(getattr(torch._C._VariableFunctions, name, None) == found)


def _is_machinery(found: Any, home: str) -> bool:
    """Whether this is of a library's modelling part, and still not for configs."""
    if isinstance(found, MethodType):
        # A way to make an object of a class is fine, as Embedding.from_pretrained.
        return not isinstance(found.__self__, type)
    if isinstance(found, (FunctionType, BuiltinFunctionType)):
        name = found.__name__
        is_plain = getattr(sys.modules.get(home), name, None) is found
        kept = any(_within(home, module) for module in _CLASSES_ONLY)
        return kept or not is_plain or name.startswith("register_") or _fetches(found)
    return isinstance(found, type) and _fetches(found)


def _fetches(target: Any) -> bool:
    try:
        return _FETCHING in inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
