"""What objects keep: their attributes, slots and items, and what stands beside their code."""

from __future__ import annotations

import functools
import random
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
LEAVES = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, np.generic)
CODE = (type, types.ModuleType, types.BuiltinFunctionType)
_LIBRARIES = frozenset(
    ("builtins", "collections", "numpy", "random", "torch", "torchassistant", "torchvision")
)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def inside(value: Any, longest: int) -> Iterator[tuple[str, Any]]:
    """What a value is made of, by names that are the same in another process.

    Args:
        value: Any object. What stands in a set is passed over: its order follows from the memory.
        longest: So much of a list or a dict is looked at.
    """
    if isinstance(value, nn.Module):
        # Not what torch itself keeps in every module: parameters, buffers, a dozen tables of hooks.
        yield from ((k, v) for k, v in vars(value).items() if k not in _OF_EVERY_MODULE)
        yield from nn.Module.named_children(value)
        yield from _of_class(value)
    elif isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in _first(value.items(), longest))
    elif isinstance(value, (list, tuple, deque)):
        yield from ((str(index), item) for index, item in enumerate(_first(value, longest)))
    elif isinstance(value, (set, frozenset)):
        return
    elif isinstance(value, functools.partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, RemovableHandle):
        # Where it is kept who has registered a hook is all that leads to the hook.
        yield "hook", (value.hooks_dict_ref() or {}).get(value.id)
    elif isinstance(value, types.MethodType):
        yield "__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from zip(value.__code__.co_freevars, map(_cell, value.__closure__ or ()), strict=True)
        yield "__defaults__", [value.__defaults__, value.__kwdefaults__]
        yield from _of_module(value.__module__)
    else:
        yield from getattr(value, "__dict__", {}).items()
        yield from _of_class(value)


def _of_class(value: Any) -> Iterator[tuple[str, Any]]:
    """Slots, and the generators that stand in the class of an object or beside it."""
    own: Any = type(value)
    for name in slots_of(own):
        if hasattr(value, name):
            yield name, getattr(value, name)
    for kind in _users_bases(own):
        yield from _generators(vars(kind))
        yield from _of_module(kind.__module__)


@functools.cache
def slots_of(kind: type) -> tuple[str, ...]:
    """The names under which the slots of a class, and of its bases, are reached."""
    slots: list[str] = []
    for base in kind.__mro__:
        own = base.__dict__.get("__slots__", ())
        for name in (own,) if isinstance(own, str) else own:
            is_private = name.startswith("__") and not name.endswith("__")
            slots.append(f"_{base.__name__.lstrip('_')}{name}" if is_private else name)
    return tuple(name for name in slots if name not in ("__dict__", "__weakref__"))


@functools.cache
def _users_bases(kind: type) -> tuple[type, ...]:
    """A class and its bases, but for those of a library."""
    return tuple(b for b in kind.__mro__ if not _is_of_library(b.__module__))


def _is_of_library(module: str | None) -> bool:
    """Whether a module is a library's; code that was generated is of none, and of no user."""
    return module is None or module.partition(".")[0] in _LIBRARIES


def _of_module(module: str | None) -> Iterator[tuple[str, Any]]:
    if module is not None and not _is_of_library(module):
        found = getattr(sys.modules.get(module), "__dict__", {})
        yield from ((f"{module}.{name}", value) for name, value in _generators(found))


def _generators(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    # Hundreds are asked at every save, and isinstance takes a microsecond for torch.Generator.
    return ((n, v) for n, v in names.items() if issubclass(type(v), GENERATORS))


def _first(items: Iterable[Any], longest: int) -> list[Any]:
    return list(islice(items, longest))


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None
