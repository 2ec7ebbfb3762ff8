"""From a dotted path, or a short name, to the Python object that it names."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from torchassistant.errors import UserCodeError, near

TORCHMETRICS = "torchmetrics.*"

HOMES: dict[str, tuple[str, ...]] = {
    "optimizers": ("torch.optim",),
    "schedulers": ("torch.optim.lr_scheduler",),
    "losses": ("torch.nn", "torchassistant.losses"),
    "metrics": ("torchassistant.metrics", TORCHMETRICS),
    "collators": ("torchassistant.collators",),
    "preprocessors": ("torchassistant.preprocessors",),
    "input_adapters": ("torchassistant.adapters",),
    "output_adapters": ("torchassistant.output_adapters",),
    "batch_processors": ("torchassistant.batch_processors",),
    "stop_conditions": ("torchassistant.stop_conditions",),
    "output_devices": ("torchassistant.output_devices",),
    "input_converters": ("torchassistant.input_converters",),
}


class NotFound(Exception):
    """There is no such object; the message is a sentence for the user."""


def find(path: str, homes: Sequence[str] = ()) -> Any:
    """The object at a dotted path, or the one of a short name in the first home that has it.

    Raises:
        NotFound: There is none; the message names the part that fails and the nearest name.
        UserCodeError: A module of the user raised while it was imported.
    """
    return _by_path(path) if "." in path else _by_short_name(path, homes)


def _by_short_name(name: str, homes: Sequence[str]) -> Any:
    known: list[str] = []
    for home in homes:
        modules = _metric_modules() if home == TORCHMETRICS else [import_module(home)]
        for module in modules:
            found = getattr(module, name, None)
            if callable(found):
                return found
            known += [n for n in dir(module) if not n.startswith("_") and n[0].isupper()]
    if not homes:
        raise NotFound(f'"{name}" is no dotted path, as "my_package.my_module.MyClass"')
    where = " and ".join(home.removesuffix(".*") for home in homes)
    raise NotFound(f'"{name}" is not found in {where}{near(name, known)}')


def _metric_modules() -> list[ModuleType]:
    """torchmetrics and the packages of its domains."""
    root = import_module("torchmetrics")
    domains = [
        info.name
        for info in pkgutil.iter_modules(root.__path__)
        if info.ispkg and info.name not in ("functional", "utilities")
    ]
    return [root, *(import_module(f"torchmetrics.{name}") for name in domains)]


def _by_path(path: str) -> Any:
    parts = path.split(".")
    if not all(part.isidentifier() for part in parts):
        raise NotFound(f'"{path}" is no dotted path, as "my_package.my_module.MyClass"')
    found: Any = _module(parts[0])
    if found is None:
        raise NotFound(f'"{path}" cannot be imported: there is no module "{parts[0]}"')
    for end in range(1, len(parts)):
        name, before = parts[end], ".".join(parts[:end])
        if hasattr(found, name):
            found = getattr(found, name)
            continue
        below = _module(f"{before}.{name}") if isinstance(found, ModuleType) else None
        if below is None:
            known = [n for n in dir(found) if not n.startswith("_")]
            raise NotFound(f'"{before}" has no "{name}"{near(name, known)}')
        found = below
    if not callable(found):
        raise NotFound(f'"{path}" is a {type(found).__name__}, which cannot be called')
    return found


def _module(name: str) -> ModuleType | None:
    """The module, or None where there is none of that name."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise UserCodeError(f'importing the module "{name}"') from error
    except Exception as error:
        raise UserCodeError(f'importing the module "{name}"') from error
