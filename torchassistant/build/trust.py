"""What a config may have imported and called. A config is data; it may come from anywhere.

Importable are the catalogue of torchassistant, the modelling parts of torch, torchvision and
torchmetrics, and modules below the working directory; anything else only where the person at the
command line trusts it. What is judged is the object that was found, by the module that defines it,
and not the path that was written: ``logging.os.system`` is ``os.system``.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

VARIABLE = "TORCHASSISTANT_TRUST"

_PACKAGE = Path(__file__).resolve().parents[1]
_CATALOGUE = tuple(
    f"torchassistant.{path.stem}"
    for path in sorted(_PACKAGE.glob("*.py"))
    if path.stem not in ("__init__", "__main__", "errors")
)
_MODELLING = (
    *_CATALOGUE,
    "torch.nn",
    "torch.optim",
    "torch.distributions",
    "torch.functional",
    "torch.utils.data",
    "torch._C._nn",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
    "torchvision.tv_tensors",
    "torchmetrics",
)
# Parts of those that fetch, unpack, or run what they are given.
_OTHER = (
    "torch.utils.data.datapipes",
    "torch.utils.data._utils",
    "torchvision.datasets.utils",
    "torchmetrics.utilities",
)
LIBRARIES = ("torch", "torchassistant", "torchmetrics", "torchvision")
_TENSOR_TYPES = ("Generator", "Size", "Tensor", "device")
_NO_TENSOR_FUNCTIONS = ("from_file",)
_SITES = {
    os.path.realpath(folder)
    for folder in (
        *(sysconfig.get_paths()[key] for key in ("purelib", "platlib", "stdlib", "platstdlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
}


class Trust:
    """Decides what may be imported.

    Args:
        modules: What the person at the command line trusts beyond the rest, as ``sklearn`` or
            ``my_library.models``; those of the environment's ``TORCHASSISTANT_TRUST`` are added.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        given = os.environ.get(VARIABLE, "").replace(",", " ").replace(os.pathsep, " ").split()
        self.modules = (*modules, *given)
        self.root = os.path.realpath(os.getcwd())

    def may_import(self, module: str) -> bool:
        """Whether a module may be imported; decided without importing it."""
        top = module.partition(".")[0]
        if any(_within(module, name) or _within(name, module) for name in self.modules):
            return True
        if top in LIBRARIES:
            return _is_modelling(module) or any(_within(name, module) for name in _MODELLING)
        return top not in sys.stdlib_module_names and self._is_local(top)

    def is_hidden(self, top: str) -> bool:
        """Whether something below the working directory has the name of a library."""
        return top in LIBRARIES and top != "torchassistant" and self._is_local(top)

    def may_use(self, found: Any) -> bool:
        """Whether an object may be used, by where it was defined."""
        home = home_of(found)
        if any(_within(home, name) for name in self.modules):
            return True
        top = home.partition(".")[0]
        if top in LIBRARIES:
            return _is_modelling(home) or (home in ("torch", "torch._C") and _is_tensor_made(found))
        module = sys.modules.get(home)
        return top not in sys.stdlib_module_names and self._is_below(_files_of(module))

    def _is_local(self, top: str) -> bool:
        """Whether the module that Python would import under this name is below the root."""
        if top in sys.modules:
            return self._is_below(_files_of(sys.modules[top]))
        try:
            spec = PathFinder.find_spec(top)
        except (ImportError, ValueError):
            return False
        if spec is None:
            return False
        return self._is_below([spec.origin] if spec.origin else spec.submodule_search_locations)

    def _is_below(self, files: Iterable[str] | None) -> bool:
        paths = [os.path.realpath(file) for file in files or ()]
        return bool(paths) and all(
            _is_in(path, self.root)
            and not any(_is_in(path, folder) for folder in _SITES)
            and not {"site-packages", "dist-packages"} & set(Path(path).parts)
            for path in paths
        )


def home_of(found: Any) -> str:
    """The module that defines an object; that of its class, where it is an instance."""
    while isinstance(found, functools.partial):
        found = found.func
    if isinstance(found, MethodType):
        found = found.__func__
    if not isinstance(found, (type, FunctionType, BuiltinFunctionType)):
        found = type(found)
    owner = getattr(found, "__self__", None) if isinstance(found, BuiltinFunctionType) else None
    if isinstance(owner, ModuleType):
        return owner.__name__
    if owner is not None and not getattr(found, "__module__", None):
        return (owner if isinstance(owner, type) else type(owner)).__module__
    return str(getattr(found, "__module__", None) or "builtins")


def _is_modelling(module: str) -> bool:
    if any(_within(module, name) for name in _OTHER):
        return False
    return any(_within(module, name) for name in _MODELLING)


def _is_tensor_made(found: Any) -> bool:
    """Whether this is one of torch's functions of tensors, or a type that goes with them."""
    import torch

    name = getattr(found, "__name__", "")
    if isinstance(found, type):
        return name in _TENSOR_TYPES
    is_function = isinstance(found, BuiltinFunctionType) and name not in _NO_TENSOR_FUNCTIONS
    return is_function and hasattr(torch._C._VariableFunctions, name)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _files_of(module: ModuleType | None) -> Iterable[str]:
    file = getattr(module, "__file__", None)
    return [file] if file else list(getattr(module, "__path__", []))
