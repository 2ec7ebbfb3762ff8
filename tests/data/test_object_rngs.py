"""Generators that objects keep to themselves: found wherever they are, stored, and seeded."""

from __future__ import annotations

import functools
import random
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Subset

from torchassistant.codec import decode, encode
from torchassistant.data.object_rngs import (
    generators_in,
    seed_all,
    set_state_of,
    set_states_of,
    state_of,
    states_of,
)
from torchassistant.data.object_walk import Generator
from torchassistant.session.files.durable_files import as_json
from torchassistant.whole_files import own_memory

Maker = Callable[[int], Generator]

BIT_GENERATORS = (
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.MT19937,
    np.random.Philox,
    np.random.SFC64,
)
MAKERS: dict[str, Maker] = {
    "torch": lambda seed: torch.Generator().manual_seed(seed),
    "python": random.Random,
    "RandomState": np.random.RandomState,
    "RandomState of PCG64": lambda seed: np.random.RandomState(np.random.PCG64(seed)),
    **{
        kind.__name__: functools.partial(lambda kind, seed: np.random.Generator(kind(seed)), kind)
        for kind in BIT_GENERATORS
    },
}


def drawn(generator: Generator, count: int = 3) -> list[float]:
    """Numbers of several kinds: some generators keep a half of what they drew last."""
    if isinstance(generator, torch.Generator):
        numbers = torch.randn(count, generator=generator).tolist()
        return numbers + torch.randint(2**31, (count,), generator=generator).tolist()
    if isinstance(generator, np.random.Generator):
        halves = generator.integers(2**31, size=count, dtype=np.uint32).tolist()
        return halves + generator.normal(size=count).tolist()
    if isinstance(generator, np.random.RandomState):
        return generator.normal(size=count).tolist() + generator.randint(99, size=count).tolist()
    return [generator.gauss(0, 1) for _ in range(count)] + [generator.random()]


def stored(state: Any) -> Any:
    """As a checkpoint stores it: JSON and tensors with memory of their own."""
    data, tensors = encode(state)
    as_json(data)
    return decode(data, own_memory(tensors))


# States


@pytest.mark.parametrize("kind", MAKERS)
@given(seed=st.integers(0, 2**32 - 1), before=st.integers(0, 5))
def test_a_state_makes_a_round_trip(kind: str, seed: int, before: int) -> None:
    generator, other = MAKERS[kind](seed), MAKERS[kind](seed ^ 1)
    drawn(generator, before)
    state = stored(state_of(generator))
    expected = drawn(generator)
    drawn(other, 1)
    set_state_of(other, state)
    assert drawn(other) == expected
    set_state_of(generator, state)
    assert drawn(generator) == expected


@pytest.mark.parametrize("kind", MAKERS)
def test_a_state_that_was_taken_does_not_follow(kind: str) -> None:
    """The generator goes on while what was taken is being written."""
    generator = MAKERS[kind](3)
    state = state_of(generator)
    data, tensors = encode(state)
    copies = own_memory(tensors)
    expected = drawn(generator)
    drawn(generator, 700)
    set_state_of(generator, decode(data, copies))
    assert drawn(generator) == expected


def test_states_by_path() -> None:
    one = {name: make(1) for name, make in MAKERS.items()}
    other = {name: make(2) for name, make in MAKERS.items()}
    states = stored(states_of(one))
    expected = {name: drawn(generator) for name, generator in one.items()}
    set_states_of(other, states)
    assert {name: drawn(generator) for name, generator in other.items()} == expected


def test_generators_that_are_new_or_gone() -> None:
    """As when the code of the user has changed meanwhile."""
    new = random.Random(1)
    expected = random.Random(1).random()
    set_states_of({"new": new}, {"gone": state_of(random.Random(2))})
    assert new.random() == expected


# Finding


class Slotted:
    __slots__ = ("empty", "inner")

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class LowerSlotted(Slotted):
    __slots__ = ("more",)


class OneSlot:
    __slots__ = "only"

    def __init__(self, only: Any) -> None:
        self.only = only


class Plain:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def method(self) -> None:
        """Nothing."""

    def __len__(self) -> int:
        return 1


@dataclass(slots=True)
class Data:
    inner: Any
    others: list[Any] = field(default_factory=list)


class Module(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.inner = inner


def closing_over(inner: Any) -> Callable[[], Any]:
    return lambda: inner


def named(x: Any, *, y: Any = None) -> None:
    """A function for partials."""


HOMES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda g: g,
    "an attribute": Plain,
    "an attribute of an attribute": lambda g: Plain(Plain(g)),
    "a list": lambda g: [1, "two", g],
    "a tuple": lambda g: (None, (g,)),
    "a dict": lambda g: {"a": 1, 2: {"b": g}},
    "an ordered dict": lambda g: OrderedDict(a=g),
    "a user's dict": lambda g: UserDict(a=g),
    "a slot": Slotted,
    "a slot of a base": LowerSlotted,
    "the only slot": OneSlot,
    "a dataclass": Data,
    "a list of a dataclass": lambda g: Data(None, [g]),
    "a closure": closing_over,
    "a partial": lambda g: functools.partial(named, g),
    "a keyword of a partial": lambda g: functools.partial(named, y=g),
    "a partial of a partial": lambda g: functools.partial(
        functools.partial(functools.partial(Plain(g).method))
    ),
    "a bound method": lambda g: Plain(g).method,
    "a module of torch": Module,
    "a module of a module": lambda g: nn.Sequential(nn.ReLU(), Module(g)),
    "a dataset of a dataset": lambda g: Subset(Plain(g), [0]),  # type: ignore[arg-type]
    "a deque": lambda g: deque([g]),
    "what a function of the user's class is made of": lambda g: Plain([Plain(g).method]),
    "a default of a function": lambda g: _with_default(g),
}


def _with_default(generator: Any) -> Callable[..., Any]:
    def transform(x: Any, g: Any = generator) -> Any:
        return x, g

    return transform


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("kind", ["torch", "python", "RandomState", "PCG64"])
def test_generators_are_found(home: str, kind: str) -> None:
    generator = MAKERS[kind](1)
    found = generators_in({"root": HOMES[home](generator)})
    assert list(found.values()) == [generator]
    (path,) = found
    assert path.startswith("root")


def test_each_is_found_once() -> None:
    shared = random.Random(1)
    found = generators_in({"a": Plain(shared), "b": [shared, {"c": shared}], "d": shared})
    assert list(found.values()) == [shared]
    assert next(iter(found)).startswith("a.")


def test_generators_that_are_equal_are_two() -> None:
    one, other = random.Random(1), random.Random(1)
    assert len(generators_in({"a": one, "b": other})) == 2


def test_the_paths_are_the_same_in_another_process() -> None:
    """They are what a stored state is put back by."""

    def build() -> dict[str, Any]:
        return {
            "datasets": {"train": Plain([MAKERS["torch"](1), {"x": MAKERS["PCG64"](2)}])},
            "collators": [Slotted(MAKERS["python"](3)), closing_over(MAKERS["RandomState"](4))],
        }

    one, other = generators_in(build()), generators_in(build())
    assert list(one) == list(other)
    assert len(one) == 4


@pytest.mark.parametrize(
    "not_ones_own",
    [
        random._inst,  # type: ignore[attr-defined]
        np.random.mtrand._rand,
        torch.default_generator,
        random.SystemRandom(),
        random.randint,
        np.random.randn,
        random,
        np.random,
        random.Random,
        torch.Generator,
    ],
    ids=lambda value: type(value).__qualname__,
)
def test_what_belongs_to_all_is_not_found(not_ones_own: Any) -> None:
    """It is stored elsewhere, or has no state."""
    assert generators_in({"a": not_ones_own, "b": Plain([not_ones_own])}) == {}


def test_circles() -> None:
    one, other = Plain(None), Plain(None)
    one.inner, other.inner = [other, random.Random(1)], {"back": one}
    assert len(generators_in({"a": one})) == 1


def test_what_raises_is_passed_over() -> None:
    class Shy:
        def __init__(self) -> None:
            self.own = random.Random(1)

        @property
        def costly(self) -> Any:
            raise AssertionError("a property was computed")

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

        def __eq__(self, other: object) -> bool:
            raise AssertionError("an object was compared")

        __hash__ = None  # type: ignore[assignment]

    assert len(generators_in({"a": Shy(), "b": [Shy()]})) == 2


def test_a_function_of_no_module_is_passed_over() -> None:
    """As torch.fx generates them, in the graphs of quantised models."""

    def generated() -> None:
        pass

    generated.__module__ = None  # type: ignore[assignment]
    assert len(generators_in({"function": generated, "generator": random.Random(1)})) == 1


def test_long_lists_cost_little() -> None:
    """A dataset may keep a million paths beside its generator."""
    holder = Plain(list(map(str, range(10**6))))
    holder.more = [Plain(None) for _ in range(10**5)]  # type: ignore[attr-defined]
    holder.own = random.Random(1)  # type: ignore[attr-defined]
    assert list(generators_in({"a": holder}).values()) == [holder.own]  # type: ignore[attr-defined]


def test_many_parts_hide_no_generator_of_the_next() -> None:
    """Twenty transforms of twenty parts each stand before the last one."""
    many = [Plain([Plain({"a": Plain(None)}) for _ in range(20)]) for _ in range(20)]
    own = random.Random(1)
    assert list(generators_in({"a": many, "b": Plain(own)}).values()) == [own]


def test_a_large_model_hides_no_generator_of_a_dataset() -> None:
    """As of a network of a thousand layers, which is looked through first."""
    blocks = [nn.Sequential(*[nn.Linear(1, 1) for _ in range(90)]) for _ in range(11)]
    own = random.Random(1)
    roots = {"models": {"net": nn.Sequential(*blocks)}, "datasets": {"points": Plain(own)}}
    assert list(generators_in(roots).values()) == [own]


# Seeding


@pytest.mark.parametrize("kind", MAKERS)
def test_a_seed_decides_everything(kind: str) -> None:
    one, other = MAKERS[kind](1), MAKERS[kind](2)
    drawn(one), drawn(other, 5)
    seed_all([one], 2**62 + 5)
    seed_all([other], 2**62 + 5)
    first = drawn(one, 4)
    assert first == drawn(other, 4)
    seed_all([one], 2**62 + 6)
    assert first != drawn(one, 4)


def test_each_gets_a_seed_of_its_own() -> None:
    generators = [random.Random(1) for _ in range(5)]
    seed_all(generators, 7)
    assert len({generator.random() for generator in generators}) == 5


@given(st.integers(0, 2**63 - 1))
def test_any_seed_will_do(seed: int) -> None:
    generators = [make(1) for make in MAKERS.values()]
    seed_all(generators, seed)
    kinds = [type(g.bit_generator) for g in generators if isinstance(g, np.random.Generator)]
    assert tuple(kinds) == BIT_GENERATORS
