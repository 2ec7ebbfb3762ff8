"""Random number generators that objects keep to themselves: found, stored, seeded.

The generators of Python, NumPy and torch that belong to nobody are in ``rng``.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from torchassistant.compat.generators import bit_generator_class
from torchassistant.data.datasets import laid_around
from torchassistant.data.object_walk import CODE, GENERATORS, LEAVES, Generator, inside
from torchassistant.data.rng import derived, expect_state_of

# A dataset may keep a list of a million paths; generators stand in attributes and short lists.
_LONGEST, _MOST = 100, 100_000

_HIDDEN: Any = (np.random.standard_normal, random.seed)
# The functions of these modules are methods of one generator each, which belongs to nobody.
_SHARED = (*(function.__self__ for function in _HIDDEN), torch.default_generator)


def generators_in(roots: Mapping[str, Any]) -> dict[str, Generator]:
    """The generators that objects keep, each once, by the path at which it was found.

    Args:
        roots: Where to look, by name. What is large hides nothing of what stands beside it.
    """
    seen = {id(item) for item in _SHARED}
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
        if isinstance(value, (*LEAVES, *CODE, random.SystemRandom)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, GENERATORS):
            found[path] = value
        else:
            waiting += [(f"{path}.{name}", item) for name, item in inside(value, _LONGEST)][::-1]


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


class IncompatibleState(ValueError):
    """What was stored is no state of what it is for."""


def expect_states_of(generators: Mapping[str, Generator], states: Mapping[str, Any]) -> None:
    """See that states that were read from somewhere fit their generators.

    Raises:
        IncompatibleState: One does not; the message names the generator by its path.
    """
    for path in generators.keys() & states.keys():
        try:
            expect_state_of(_like(generators[path]), states[path])
        except Exception as error:
            raise IncompatibleState(f"the generator {path}: {error}") from None


def _like(generator: Generator) -> Generator:
    """A generator of the same kind that nobody needs."""
    if isinstance(generator, torch.Generator):
        return torch.Generator(generator.device)
    if isinstance(generator, np.random.Generator):
        kind: Any = type(generator.bit_generator)
        return np.random.Generator(kind(0))
    if isinstance(generator, np.random.RandomState):
        return np.random.RandomState(bit_generator_class(generator)(0))
    return random.Random(0)


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
def object_rngs_seeded(roots: Mapping[str, Any], seed: int) -> Iterator[None]:
    """What these objects keep starts from a seed inside; outside, nothing is drawn from it.

    That goes for their generators, and for what a ``state_dict`` and a ``load_state_dict`` of them
    say, which starts from what it is.
    """
    own = generators_in(roots)
    states = states_of(own)
    stated = [
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
        for root, state in stated:
            root.load_state_dict(state)


def _layers_of(root: Any) -> Iterator[Any]:
    """An object, and the datasets that it is laid around."""
    yield root
    for inner in laid_around(root):
        yield from _layers_of(inner)


def has_state(item: Any) -> bool:
    """Whether an object has a ``state_dict``, and takes one back."""
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
            fresh = np.random.RandomState(bit_generator_class(generator)(own))
            generator.set_state(fresh.get_state(legacy=False))
        else:
            generator.seed(own)
