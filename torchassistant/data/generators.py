"""Random number generators that objects keep to themselves: found, stored, seeded.

The generators of Python, NumPy and torch that belong to nobody are in ``randomness``.
"""

from __future__ import annotations

import copy
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from torchassistant.data.datasets import laid_around
from torchassistant.data.randomness import derived

Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random

_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LEAVES = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, np.generic)
_CODE = (type, types.ModuleType, types.BuiltinFunctionType)
# A dataset may keep a list of a million paths; generators stand in attributes and short lists.
_LONGEST, _MOST = 100, 100_000
_LIBRARIES = frozenset(
    ("builtins", "collections", "numpy", "random", "torch", "torchassistant", "torchvision")
)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def generators_in(roots: Mapping[str, Any]) -> dict[str, Generator]:
    """The generators that objects keep, each once, by the path at which it was found.

    Args:
        roots: Where to look, by name. What is large hides nothing of what stands beside it.
    """
    shared = (np.random.mtrand._rand, random._inst, torch.default_generator)
    seen = {id(item) for item in shared}
    found: dict[str, Generator] = {}
    for path, root in roots.items():
        _look_in(root, path, seen, found)
    return found


def _look_in(root: Any, path: str, seen: set[int], found: dict[str, Generator]) -> None:
    waiting = [(path, root)]
    for _ in range(_MOST):
        if not waiting:
            return
        path, value = waiting.pop()
        if isinstance(value, (*_LEAVES, *_CODE, random.SystemRandom)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _KINDS):
            found[path] = value
        else:
            waiting += [(f"{path}.{name}", item) for name, item in _inside(value)][::-1]


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value is made of, as far as generators may be kept there."""
    if isinstance(value, nn.Module):
        # Not what torch itself keeps in every module: parameters, buffers, a dozen tables of hooks.
        yield from ((k, v) for k, v in vars(value).items() if k not in _OF_EVERY_MODULE)
        yield from value._modules.items()
        yield from _of_class(value)
    elif isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in _first(value.items()))
    elif isinstance(value, (list, tuple, deque)):
        yield from ((str(index), item) for index, item in enumerate(_first(value)))
    elif isinstance(value, (set, frozenset)):
        return  # the order of its objects follows from where they stand in memory
    elif isinstance(value, functools.partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
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
    slots, kinds = _described(own)
    for name in slots:
        if hasattr(value, name):
            yield name, getattr(value, name)
    for kind in kinds:
        yield from ((n, v) for n, v in vars(kind).items() if isinstance(v, _KINDS))
        yield from _of_module(kind.__module__)


@functools.cache
def _described(kind: type) -> tuple[tuple[str, ...], tuple[type, ...]]:
    """The slots of a class, and those of its bases that are no library's."""
    slots: list[str] = []
    for base in kind.__mro__:
        own = base.__dict__.get("__slots__", ())
        slots += (own,) if isinstance(own, str) else own
    users = (base for base in kind.__mro__ if base.__module__.partition(".")[0] not in _LIBRARIES)
    return tuple(s for s in slots if s not in ("__dict__", "__weakref__")), tuple(users)


def _of_module(module: str) -> Iterator[tuple[str, Any]]:
    if module.partition(".")[0] not in _LIBRARIES:
        found = getattr(sys.modules.get(module), "__dict__", {})
        yield from ((f"{module}.{n}", v) for n, v in found.items() if isinstance(v, _KINDS))


def _first(items: Iterable[Any]) -> list[Any]:
    return [item for item, _ in zip(items, range(_LONGEST), strict=False)]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


def state_of(generator: Generator) -> Any:
    """The state of a generator, as plain data, arrays and tensors."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate()


def set_state_of(generator: Generator, state: Any) -> None:
    """Put back what :func:`state_of` gave."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def states_of(generators: Mapping[str, Generator]) -> dict[str, Any]:
    """The state of each generator, by its path."""
    return {path: state_of(generator) for path, generator in generators.items()}


def set_states_of(generators: Mapping[str, Generator], states: Mapping[str, Any]) -> list[str]:
    """Put back what :func:`states_of` gave; generators that are new stay as they are.

    Returns:
        The paths of stored states that no generator is there for.
    """
    for path, generator in generators.items():
        if path in states:
            set_state_of(generator, states[path])
    return [path for path in states if path not in generators]


@contextmanager
def own_seeded(roots: Mapping[str, Any], seed: int) -> Iterator[None]:
    """What these objects keep starts from a seed inside; outside, nothing is drawn from it.

    That goes for their generators, and for what a ``state_dict`` and a ``load_state_dict`` of them
    say, which starts from what it is.
    """
    own = generators_in(roots)
    states = states_of(own)
    told = [
        (item, copy.deepcopy(item.state_dict()))
        for root in roots.values()
        for item in _layers_of(root)
        if not isinstance(item, nn.Module) and has_state(item)
    ]
    seed_all(own.values(), seed)
    try:
        yield
    finally:
        set_states_of(own, states)
        for root, state in told:
            root.load_state_dict(state)


def _layers_of(root: Any) -> Iterator[Any]:
    """An object, and the datasets that it is laid around."""
    yield root
    for inner in laid_around(root):
        yield from _layers_of(inner)


def has_state(item: Any) -> bool:
    """Whether an object tells its state, and takes it."""
    return all(callable(getattr(item, key, None)) for key in ("state_dict", "load_state_dict"))


def seed_all(generators: Iterable[Generator], seed: int) -> None:
    """Give each generator a seed of its own."""
    for number, generator in enumerate(generators):
        own = derived(seed, "generator", number)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(own)
        elif isinstance(generator, np.random.Generator):
            kind: Any = type(generator.bit_generator)
            generator.bit_generator.state = kind(own).state
        elif isinstance(generator, np.random.RandomState):
            # Its own method can seed but one kind, and forgets a number that is left over.
            fresh = np.random.RandomState(type(generator._bit_generator)(own))
            generator.set_state(fresh.get_state(legacy=False))
        else:
            generator.seed(own)
