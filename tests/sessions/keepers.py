"""Objects that keep something from call to call, each in another way: ``Keeper()()`` is a number.

Called again and again, each gives other numbers; what it gives next follows from what it keeps.
"""

from __future__ import annotations

import array
import collections
import functools
import io
import itertools
import multiprocessing
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

CALLS = 0
COUNTS: dict[str, list[int]] = {"all": [0]}
NUMBERS = itertools.count()
OWN = random.Random(3)


class Attribute:
    calls = 0

    def __call__(self) -> float:
        self.calls += 1
        return self.calls


class Made:
    """An attribute that is not there at first."""

    def __call__(self) -> float:
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls


class Slots:
    __slots__ = ("__own", "calls")

    def __init__(self) -> None:
        self.calls, self.__own = 0, [0]

    def __call__(self) -> float:
        self.calls += 1
        self.__own[0] += 2
        return self.calls + self.__own[0]


@dataclass(slots=True)
class Data:
    calls: int = 0
    more: dict[str, Any] = field(default_factory=lambda: {"deep": [{"deeper": [0]}]})

    def __call__(self) -> float:
        self.calls += 1
        self.more["deep"][0]["deeper"][0] += 1
        return self.calls + self.more["deep"][0]["deeper"][0]


class Items:
    """A list, a dict, a set, a deque, and the like, changed as they are."""

    def __init__(self) -> None:
        self.list: list[int] = [3, 1, 2]
        self.dict = {"a": 1, "b": 2}
        self.ordered = collections.OrderedDict(a=1, b=2)
        self.default: Any = collections.defaultdict(list, {"x": [1]})
        self.counter = collections.Counter("abca")
        self.set = {1}
        self.deque = collections.deque([1, 2, 3], maxlen=3)
        self.user = collections.UserDict({"calls": 0})
        self.bytes, self.array = bytearray(b"\1\2"), array.array("i", [1])
        self.of_lists = ([1], (2, [3]))
        self.space = SimpleNamespace(calls=0)

    def __call__(self) -> float:
        self.list.append(self.list.pop(0) + 1)
        self.dict["a"] += self.dict.pop("b", 0) + 1
        self.ordered.move_to_end("a")
        first = next(iter(self.ordered))
        self.ordered["a"] += 1
        self.default[str(len(self.default))].append(1)
        self.default["x"][0] += 1
        self.counter["a"] += 1
        self.set.add(len(self.set) + 7)
        self.deque.append(self.deque[0] + 1)
        self.user["calls"] += 1
        self.bytes.append(len(self.bytes))
        self.bytes[0] += 1
        self.array[0] += 1
        self.of_lists[0][0] += 1
        self.of_lists[1][1][0] += 1  # type: ignore[index]
        self.space.calls += 1
        parts: list[float] = [*self.list, *self.dict.values(), *self.ordered.values(), *self.set]
        parts += [len(self.default), self.default["x"][0], self.counter["a"], *self.deque]
        parts += [*self.bytes, *self.array, self.user["calls"], self.of_lists[0][0]]
        parts += [self.of_lists[1][1][0], self.space.calls, first == "a"]  # type: ignore[index]
        return sum(parts)


class Tensors:
    """Tensors and arrays, changed as they are, replaced, and resized."""

    def __init__(self) -> None:
        self.tensor, self.replaced = torch.zeros(3), torch.zeros(2)
        self.array, self.objects = np.zeros(3), np.array([[0], None], dtype=object)
        self.view = self.array[1:]
        self.half = torch.full((2,), float("nan"), dtype=torch.bfloat16)
        self.sparse = torch.eye(2).to_sparse()
        self.shared = torch.zeros(()).share_memory_()
        self.data = torch.zeros(2)

    def __call__(self) -> float:
        self.tensor += 1
        self.replaced = self.replaced + 1
        self.view[0] += 1
        self.objects[0][0] += 1
        self.half[0] = 1.0 if self.half[0].isnan() else self.half[0] + 1
        self.sparse.mul_(2)
        self.shared += 1
        self.data.data = torch.cat([self.data, torch.ones(1)])
        parts = [self.tensor, self.replaced, self.half[:1], self.shared, self.data]
        total = sum(float(part.sum()) for part in parts) + float(self.sparse.to_dense().sum())
        return total + float(self.array.sum()) + self.objects[0][0]


class Generators:
    def __init__(self) -> None:
        self.torch, self.python = torch.Generator().manual_seed(1), random.Random(1)
        self.numpy = {"a": [np.random.default_rng(1), np.random.RandomState(1)]}

    def __call__(self) -> float:
        one, other = self.numpy["a"]
        drawn = float(torch.rand((), generator=self.torch)) + self.python.gauss(0, 1)
        return drawn + one.random() + other.normal()  # type: ignore[union-attr]


class Iterators:
    """Iterators of Python's own."""

    def __init__(self) -> None:
        numbers = [1, 4, 9, 16, 25, 36, 49, 64, 81, 100] * 10
        self.list, self.range = iter(numbers), iter(range(100))
        self.count, self.cycle = itertools.count(3), itertools.cycle((1, 2, 4))
        self.dict, self.pairs = iter(dict.fromkeys(range(100))), enumerate(iter(numbers))
        self.zip, self.map = zip(numbers, range(100), strict=False), map(float, iter(numbers))
        self.chain = itertools.chain([1, 2], iter(numbers))
        self.inside = [itertools.count(), {"x": iter(numbers)}]
        self.batches: Any = itertools.islice(iter(numbers), 1, None)

    def __call__(self) -> float:
        parts = [next(self.list), next(self.range), next(self.count), next(self.cycle)]
        parts += [next(self.dict), *next(self.pairs), *next(self.zip), int(next(self.map))]
        parts += [next(self.chain), next(self.inside[0]), next(self.inside[1]["x"])]  # type: ignore
        parts += [next(self.batches)]
        return sum(p * (i + 1) for i, p in enumerate(parts))


def closed_over() -> Callable[[], float]:
    calls, many = 0, [0]
    numbers = itertools.count()

    def keeper() -> float:
        nonlocal calls
        calls += 1
        many[0] += 1
        keeper.calls = getattr(keeper, "calls", 0) + 1  # type: ignore[attr-defined]
        return calls + many[0] + next(numbers) + keeper.calls  # type: ignore[attr-defined]

    return keeper


def with_default(kept: Any = None) -> Callable[[], float]:
    def keeper(kept: list[int] = [0]) -> float:  # noqa: B006
        kept[0] += 1
        return kept[0]

    return functools.partial(functools.partial(keeper))


def with_globals() -> float:
    global CALLS
    CALLS += 1
    COUNTS["all"].append(CALLS)
    COUNTS[str(CALLS)] = []
    return CALLS + len(COUNTS) + sum(COUNTS["all"]) + next(NUMBERS) + OWN.random()


class OfTheClass:
    """Attributes of the class, and a number that its decorated method keeps."""

    calls: ClassVar[int] = 0
    list: ClassVar[list[int]] = [0]

    def __call__(self) -> float:
        type(self).calls += 1
        self.list[0] += 1
        return self.calls + self.list[0]


class OfTheBase(OfTheClass):
    def __call__(self) -> float:
        OfTheClass.calls += 1
        return super().__call__()


class Properties:
    """What is reached through methods, properties, and weak ties."""

    def __init__(self) -> None:
        self.method = Attribute().__call__
        self.local = threading.local()
        self.local.calls = 0
        self.value = multiprocessing.Value("i", 0)
        self.values = multiprocessing.Array("d", [0.0, 0.0])

    @functools.cached_property
    def cached(self) -> list[int]:
        return [0]

    def __call__(self) -> float:
        self.local.calls += 1
        with self.value.get_lock():
            self.value.value += 1
        self.values[1] += 1
        self.cached[0] += 1
        return self.method() + self.local.calls + self.value.value + self.values[1] + self.cached[0]


class Files:
    """Files in memory, and one on the disk: its own code."""

    def __init__(self) -> None:
        self.bytes, self.text = io.BytesIO(b"abcdef" * 50), io.StringIO("ghijk" * 50)
        self.file = open(__file__, "rb")  # noqa: SIM115
        # In a garbage cycle, the file's own finalizer may run before a `__del__` of this object.
        weakref.finalize(self, self.file.close)

    def __call__(self) -> float:
        self.text.seek(0, io.SEEK_END)
        self.text.write("x")
        return ord(self.bytes.read(1)) + self.file.read(1)[0] + len(self.text.getvalue())


@functools.cache
def remembered() -> list[int]:
    return [0]


@functools.lru_cache(maxsize=3)
def remembered_for_a_while(key: int) -> list[int]:
    return [key]


def with_cache() -> float:
    remembered()[0] += 1
    remembered_for_a_while(2)[0] += 1
    return remembered()[0] + remembered_for_a_while(2)[0]


class Module(nn.Module):
    """Buffers of both kinds, a parameter that is changed, attributes, a list of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("recent", None, persistent=False)
        self.weight = nn.Parameter(torch.zeros(2))
        self.parts = nn.ModuleList([nn.Linear(1, 1)])
        self.calls, self.seen = 0, [0]

    def __call__(self) -> float:  # type: ignore[override]
        self.norm(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
        self.steps += 1
        self.recent = torch.ones(1) if self.recent is None else self.recent + 1
        with torch.no_grad():
            self.weight += 1
        self.calls += 1
        self.seen[0] += 1
        self.norm.eval() if self.calls % 2 else self.norm.train()
        found = [self.norm.running_mean, self.steps, self.recent, self.weight]
        return sum(float(f.detach().sum()) for f in found) + self.calls + self.seen[0]  # type: ignore


KEEPERS: dict[str, Callable[[], Callable[[], float]]] = {
    "attribute": Attribute,
    "attribute that is made": Made,
    "slots": Slots,
    "dataclass": Data,
    "items": Items,
    "tensors": Tensors,
    "generators": Generators,
    "iterators": Iterators,
    "closure": closed_over,
    "default": with_default,
    "globals": lambda: with_globals,
    "class": OfTheClass,
    "base class": OfTheBase,
    "properties": Properties,
    "files": Files,
    "cache": lambda: with_cache,
    "module": Module,
}


class Hidden:
    """Keepers behind others: in attributes, containers, methods, partials."""

    def __init__(self, keeper: Callable[[], float]) -> None:
        self.inner = {"a": [(functools.partial(keeper),)]}

    def __call__(self) -> float:
        return self.inner["a"][0][0]()


def stream() -> Iterator[int]:
    """What cannot be put back."""
    yield from range(1000)
