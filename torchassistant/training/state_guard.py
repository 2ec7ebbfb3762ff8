"""Whatever is run with objects of the user, afterwards they are as they were.

What they keep is noted by walking from object to object: attributes and slots, lists, dicts, sets
and the like as they stand in memory, tensors and arrays, random number generators, closures,
iterators, positions in files, the attributes of the user's own classes and the globals of the
user's own modules. What is large is not copied: it is only known whether it has changed.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import gc
import io
import operator
import random
import re
import sys
import threading
import types
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.sharedctypes import SynchronizedBase
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from torchassistant.compat.modules import own_buffers, state_tables
from torchassistant.compat.tensor_internals import backward_hooks_of
from torchassistant.data import (
    GENERATORS,
    CachedDataset,
    Generator,
    set_state_of,
    slots_of,
    state_of,
)
from torchassistant.ownership import is_users_file
from torchassistant.training.content_snapshots import (
    BUFFERS,
    PutBack,
    array_as_it_is,
    array_watched,
    buffer_as_it_is,
    can_be_noted,
    file_as_it_is,
    tensor_as_it_is,
)

_MOST, _MOST_LIGHTLY = 100_000, 20_000  # objects
_LONGEST = 2_000_000  # items of one list
_COPIED, _SUMMED = 2**26, 2**31  # bytes, of all that is not of a model: copied, and read twice

_CACHED = type(functools.cache(lambda: None))
_ATOMS = frozenset(
    (str, bytes, int, float, complex, bool, type(None), type(...), range, slice, re.Pattern)
) | {torch.dtype, torch.device, torch.Size}
_LEFT_ALONE = (
    "torch._", "torch.fx.", "torch.autograd.", "torch.distributed.", "torch.cuda.", "torch.jit.",
    "torch.profiler.", "torch.multiprocessing.", "torch.utils.tensorboard.", "logging.",
    "threading.", "_thread.", "queue.", "_queue.", "multiprocessing.", "concurrent.", "asyncio.",
    "socket.", "ssl.", "subprocess.", "sqlite3.", "weakref.", "_weakref.", "tensorboard.", "wandb.",
    "mlflow.", "matplotlib.", "tqdm.", "importlib.", "inspect.", "typing.", "ast.",
    "torchassistant.cli.", "torchassistant.session.", "torchassistant.assembly.",
    "torchassistant.config.", "torchassistant.training.", "torchassistant.graph.",
    "torchassistant.compat.",
)  # fmt: skip
"""What runs beside the user's code, and has a life of its own: to put it back would break it."""


class Changed(NamedTuple):
    """What could not be put back.

    Args:
        path: The root, and the way from it.
        what: What it is, and what has become of it, as ``is a generator that has gone on``.
    """

    path: str
    what: str


@contextmanager
def unchanged(roots: Mapping[str, Any], lightly: bool = False) -> Iterator[list[Changed]]:
    """Objects that are used in here are afterwards as they were before.

    Args:
        roots: Where to begin, by name.
        lightly: Leave out parameters, which need as much memory again on the host, what stands
            beside the user's code, and what lies far behind the roots.

    Yields:
        A list that holds, when all is over, what could not be put back.
    """
    noted = _Noted(roots, lightly)
    changed: list[Changed] = []
    try:
        yield changed
    finally:
        changed += noted.put_back()


class _Noted:
    """What objects keep, as it was when this was made."""

    def __init__(self, roots: Mapping[str, Any], lightly: bool) -> None:
        self.lightly = lightly
        self.waiting = deque(roots.items())
        self.seen: dict[int, Any] = {}
        self.noted: list[tuple[str, PutBack]] = []
        self.of_models: set[int] = set()
        self.stand_ins: dict[int, Any] = {}
        self.bytes_left, self.summed_left = _COPIED, _SUMMED
        self.are_users: dict[str, bool] = {}
        # Nearest first: counters stand in attributes, and rows by the million behind them.
        most = _MOST_LIGHTLY if lightly else _MOST
        while self.waiting and len(self.seen) < most:
            # What an object of the user does when it is looked at is not known.
            with contextlib.suppress(Exception):
                self._look_at(*self.waiting.popleft())

    def put_back(self) -> list[Changed]:
        """Put everything back; gives what could not be."""
        found = []
        for path, put in self.noted:
            try:
                what = put()
            except Exception as error:
                what = f"cannot be put back ({error})"
            if what is not None:
                found.append(Changed(path, what))
        return found

    # Walking

    def _look_at(self, path: str, value: Any) -> None:
        kind = type(value)
        if kind in _ATOMS or id(value) in self.seen or isinstance(value, (enum.Enum, np.generic)):
            return
        self.seen[id(value)] = value
        if isinstance(value, type):
            self._class(path, value)
        elif isinstance(value, types.ModuleType):
            self._globals(value)
        elif isinstance(value, torch.Tensor):
            self._tensor(path, value)
        elif isinstance(value, np.ndarray):
            self._array(path, value)
        elif isinstance(value, GENERATORS):
            self._generator(path, value)
        elif isinstance(value, types.FunctionType):
            self._function(path, value)
        elif isinstance(value, io.IOBase):
            self._file(path, value)
        elif isinstance(value, types.GeneratorType) or _is_bare_iterator(value):
            self._watch(path, value)
        else:
            self._object(path, value)

    def _go_on(self, items: Iterable[tuple[str, Any]]) -> None:
        self.waiting += ((path, item) for path, item in items if type(item) not in _ATOMS)

    def _note(self, path: str, put: PutBack) -> None:
        self.noted.append((path, put))

    def _is_users(self, module: str | None) -> bool:
        """Whether a module is the user's own, by its name."""
        name = module or ""
        if name not in self.are_users:
            file = getattr(sys.modules.get(name), "__file__", None)
            self.are_users[name] = isinstance(file, str) and is_users_file(file)
        return self.are_users[name]

    def _home(self, module: str | None) -> None:
        if module is not None and not self.lightly and self._is_users(module):
            self.waiting.append((module, sys.modules[module]))

    # Objects

    def _object(self, path: str, value: Any) -> None:
        if isinstance(value, nn.Module):
            self.of_models.update(map(id, own_buffers(value).values()))
            # A layer without a shape gets one where it is run first, and is of another class then.
            parameters = nn.Module.named_parameters(value, recurse=False)
            if _is_left_alone(value) or any(is_lazy(p) for _, p in parameters):
                tables = state_tables(value).items()
                self._go_on((f"{path}.{key}", table) for key, table in tables)
                return
        elif isinstance(value, RemovableHandle):
            hook = (value.hooks_dict_ref() or {}).get(value.id)
            self._go_on([(path, hook)])
            return
        elif isinstance(value, CachedDataset):
            self._go_on([(path, value.dataset)])
            return
        elif _is_left_alone(value):
            return
        self._contents(path, value)
        attributes = _attributes_of(value)
        if attributes is not None:
            if any(isinstance(item, threading.Thread) for item in attributes.values()):
                return
            self._dict(path, attributes)
        slots = [(n, getattr(value, n, _MISSING)) for n in slots_of(_class_of(value))]
        if slots:
            self._note(path, lambda: _put_slots(value, slots))
            self._go_on((f"{path}.{name}", item) for name, item in slots)
        self.waiting.append((path, type(value)))

    def _contents(self, path: str, value: Any) -> None:
        """What a container holds, and what is called in the end."""
        if isinstance(value, dict):
            self._dict(path, value)
        elif isinstance(value, (list, tuple, deque, set, frozenset)):
            self._items(path, value)
        elif isinstance(value, BUFFERS):
            self._buffer(path, value)
        elif isinstance(value, functools.partial):
            self._go_on(
                [(path, value.func), (path, value.args), (f"{path}.keywords", value.keywords)]
            )
        elif isinstance(value, types.MethodType):
            self._go_on([(path, value.__self__), (path, value.__func__)])
        elif isinstance(value, (staticmethod, classmethod)):
            self._go_on([(path, value.__func__)])
        elif isinstance(value, property):
            self._go_on([(path, value.fget), (path, value.fset)])
        elif isinstance(value, _CACHED):
            self._cache(path, value)

    def _dict(self, path: str, value: dict[Any, Any]) -> None:
        if len(value) > _LONGEST:
            return
        of_kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
        before = list(of_kind.items(value))
        self._stand_in(path, before, lambda key, item: of_kind.__setitem__(value, key, item))

        def put() -> None:
            now = list(of_kind.items(value))
            if not _are_same([x for p in now for x in p], [x for p in before for x in p]):
                of_kind.clear(value)
                for key, item in before:
                    of_kind.__setitem__(value, key, item)

        self._note(path, put)
        self._go_on((path, key) for key, _ in before if not _is_plain(key))
        self._go_on(
            (f"{path}.{key}" if type(key) in _ATOMS else path, item)
            for key, item in before
            if not _is_plain(item)
        )

    def _items(self, path: str, value: Any) -> None:
        if len(value) > _LONGEST:
            return
        before = list(value)
        if isinstance(value, list):
            self._stand_in(path, enumerate(before), lambda at, x: list.__setitem__(value, at, x))
        if isinstance(value, (list, set, deque)):

            def put() -> None:
                if _are_same(list(value), before):
                    return
                if isinstance(value, list):
                    list.__setitem__(value, slice(None), before)
                elif isinstance(value, set):
                    set.clear(value)
                    set.update(value, before)
                else:
                    deque.clear(value)
                    deque.extend(value, before)

            self._note(path, put)
        self._go_on((f"{path}.{i}", x) for i, x in enumerate(before) if not _is_plain(x))

    # Code

    def _function(self, path: str, value: types.FunctionType) -> None:
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self._cell(f"{path}.{name}", cell)
        self._go_on([(path, value.__defaults__), (path, value.__kwdefaults__)])
        if self._is_users(value.__module__):
            self._dict(path, vars(value))
            self._home(value.__module__)

    def _cell(self, path: str, cell: Any) -> None:
        before = _contents_of(cell)
        if id(cell) in self.seen or before is _MISSING:
            return
        self.seen[id(cell)] = cell
        self._stand_in(path, [("", before)], lambda _, item: setattr(cell, "cell_contents", item))
        self._note(path, lambda: setattr(cell, "cell_contents", before))
        self._go_on([(path, before)])

    def _class(self, path: str, value: type) -> None:
        for kind in () if self.lightly else value.__mro__:
            if not self._is_users(kind.__module__) or (kind is not value and id(kind) in self.seen):
                continue
            self.seen[id(kind)] = kind
            self._names(
                f"{kind.__module__}.{kind.__qualname__}",
                lambda kind=kind: vars(kind),  # type: ignore[misc]
                functools.partial(type.__setattr__, kind),
                functools.partial(type.__delattr__, kind),
            )
            self._home(kind.__module__)

    def _globals(self, value: types.ModuleType) -> None:
        if self._is_users(value.__name__):
            names = vars(value)
            self._names(
                value.__name__, lambda: names, names.__setitem__, lambda name: names.pop(name)
            )

    def _names(
        self,
        path: str,
        look: Callable[[], Mapping[str, Any]],
        give: Callable[[str, Any], Any],
        take: Callable[[str], Any],
    ) -> None:
        """What a class or a module binds names to."""
        before = {name: item for name, item in look().items() if not name.startswith("__")}
        self._stand_in(path, before.items(), give)

        def put() -> None:
            now = {name: item for name, item in look().items() if not name.startswith("__")}
            for name in now.keys() - before.keys():
                take(name)
            for name, item in before.items():
                if name not in now or now[name] is not item:
                    give(name, item)

        self._note(path, put)
        self._go_on((f"{path}.{name}", item) for name, item in before.items())

    def _cache(self, path: str, value: Any) -> None:
        before = value.cache_info()

        def put() -> str | None:
            if value.cache_info().misses == before.misses:
                return None
            if before.currsize:
                return "is a function that has remembered more of what it gave"
            value.cache_clear()
            return None

        self._note(path, put)
        self._go_on([(path, value.__wrapped__)])
        # What it has remembered: beside one another, or in a table that must stay as it is.
        for held in gc.get_referents(value):
            is_table = type(held) is dict and held is not vars(value)
            self._go_on((path, item) for item in (held.values() if is_table else [held]))

    # Data

    def _may_copy(self, size: int) -> bool:
        """Whether so many bytes may be copied."""
        if size > self.bytes_left:
            return False
        self.bytes_left -= size
        return True

    def _may_sum(self, size: int) -> bool:
        """Whether so many bytes may be read, twice, to know whether they have changed."""
        if self.lightly or size > self.summed_left:
            return False
        self.summed_left -= size
        return True

    def _tensor(self, path: str, value: torch.Tensor) -> None:
        is_parameter = isinstance(value, nn.Parameter)
        if can_be_noted(value) and not (is_parameter and self.lightly):
            is_copied = is_parameter or id(value) in self.of_models
            size = value.numel() * value.element_size()
            self._note(path, tensor_as_it_is(value, is_copied or self._may_copy(size)))
        if type(value) not in (torch.Tensor, nn.Parameter) or vars(value):
            self._dict(path, vars(value))
        self._go_on((path, hook) for hook in backward_hooks_of(value))

    def _generator(self, path: str, value: Generator) -> None:
        if not isinstance(value, random.SystemRandom):
            state = state_of(value)
            self._note(path, lambda: set_state_of(value, state))

    def _array(self, path: str, value: np.ndarray[Any, Any]) -> None:
        if not value.flags.writeable:
            return
        if value.dtype.hasobject:
            self._note(path, array_as_it_is(value))
            self._items(path, tuple(value.ravel()[:_LONGEST]))
        elif self._may_copy(value.nbytes):
            self._note(path, array_as_it_is(value))
        elif not isinstance(value, np.memmap) and self._may_sum(value.nbytes):
            self._note(path, array_watched(value))

    def _buffer(self, path: str, value: Any) -> None:
        with memoryview(value) as view:
            size = view.nbytes
        if self._may_copy(size):
            self._note(path, buffer_as_it_is(value))

    def _file(self, path: str, value: Any) -> None:
        if not value.closed and value.readable() and value.seekable():
            self._note(path, file_as_it_is(value))

    # Iterators

    def _stand_in(
        self, path: str, items: Iterable[tuple[Any, Any]], give: Callable[[Any, Any], Any]
    ) -> None:
        """Let copies take the place of iterators: an iterator cannot be moved back."""
        for key, item in items:
            if type(item) in _ATOMS or not _is_bare_iterator(item):
                continue
            if id(item) not in self.stand_ins:
                try:
                    self.stand_ins[id(item)] = self._copied(f"{path}.{key}".rstrip("."), item)
                except _NoCopy:
                    continue
                self.seen[id(item)] = item
            give(key, self.stand_ins[id(item)])

    def _copied(self, path: str, value: Any) -> Any:
        """A copy of an iterator, and of those that it draws from."""
        if isinstance(value, types.GeneratorType):
            raise _NoCopy
        if type(value) is tuple and any(map(_is_bare_iterator, value)):
            return tuple(self._copied(path, item) for item in value)
        if not _is_bare_iterator(value):
            self._go_on([(path, value)])
            return value
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                made = value.__reduce__()
        except TypeError:
            raise _NoCopy from None
        kind, given, *states = made
        copy = kind(*(self._copied(path, item) for item in given))
        for state in states[:1]:
            if isinstance(state, tuple):
                # What a cycle has met so far is in a list that the cycle adds to.
                state = tuple(
                    list(item) if type(item) is list else self._copied(path, item) for item in state
                )
            if state is not None:
                copy.__setstate__(state)
        return copy

    def _watch(self, path: str, value: Any) -> None:
        """What cannot be put back, and can be asked whether it has gone on."""
        before = _position_of(value)
        is_generator = isinstance(value, types.GeneratorType)
        what = f"is {'a generator' if is_generator else 'an iterator'} that has gone on"
        self._note(path, lambda: None if _position_of(value) == before else what)


_MISSING = object()


class _NoCopy(Exception):
    """An iterator cannot be copied."""


def _is_left_alone(value: Any) -> bool:
    if isinstance(value, (threading.local, SynchronizedBase, *BUFFERS)):
        return False
    return f"{type(value).__module__}.".startswith(_LEFT_ALONE)


def _attributes_of(value: Any) -> dict[str, Any] | None:
    try:
        is_local = isinstance(value, threading.local)
        found = vars(value) if is_local else object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def _class_of(value: Any) -> Any:
    """For type checkers, to which the class of an object need not have a hash."""
    return type(value)


def _contents_of(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return _MISSING


def _is_plain(value: Any) -> bool:
    """Whether this cannot change, nor anything in it, as the rows of many a dataset."""
    kind = type(value)
    return kind in _ATOMS or (kind is tuple and all(type(item) in _ATOMS for item in value))


def _are_same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _put_slots(value: Any, slots: list[tuple[str, Any]]) -> None:
    for name, item in slots:
        now = getattr(value, name, _MISSING)
        if item is _MISSING and now is not _MISSING:
            object.__delattr__(value, name)
        elif item is not _MISSING and now is not item:
            object.__setattr__(value, name, item)


def _is_bare_iterator(value: Any) -> bool:
    """Whether this is an iterator of Python's own, whose state no attribute holds."""
    is_one = isinstance(value, Iterator) and not isinstance(value, (io.IOBase, types.GeneratorType))
    return is_one and _attributes_of(value) is None and not slots_of(_class_of(value))


def _position_of(value: Any) -> Any:
    """What is another one when an iterator has gone on, as far as it can be asked."""
    if isinstance(value, types.GeneratorType):
        return None if value.gi_frame is None else value.gi_frame.f_lasti
    try:
        return repr(value), operator.length_hint(value, -1), getattr(value, "line_num", None)
    except Exception:
        return None
