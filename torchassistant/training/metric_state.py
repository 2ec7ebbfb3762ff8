"""What a metric has counted so far, as plain data: taken in the middle of an epoch, and put back.

A metric need not say what its state is: that is what its attributes hold, and those of the objects
in it, as far as it is data. Whatever else is there is as its class made it.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import nn

from torchassistant.data import generators_in, has_state, set_states_of, states_of
from torchassistant.errors import DataError, listing, with_article

State = dict[str, Any]

_LEAVES = (type(None), bool, int, float, str, bytes)
_CONTAINERS = (list, tuple, set, frozenset, deque, dict, OrderedDict)
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) - {"_buffers"}


def paths_in(metric: Any, shared: Collection[Any]) -> set[str]:
    """The paths of the objects that a metric is made of: all that it may keep data in."""
    return {path for path, place in _places(metric, shared) if not place.is_lost}


def state_of_metric(
    metric: Any, shared: Collection[Any], name: str, born_with: Collection[str]
) -> State:
    """What a metric has counted, without what it shares with others.

    Args:
        metric: The object.
        shared: What it may hold on to, and is not its own: the models.
        name: What it is called in messages.
        born_with: What :func:`paths_in` gave when it was fresh.

    Raises:
        DataError: It keeps objects that are neither data nor there from the beginning.
    """
    if has_state(metric) and not isinstance(metric, nn.Module):
        return {"own": metric.state_dict()}
    places = dict(_places(metric, shared))
    lost = [path for path in places if path not in born_with]
    if lost:
        raise DataError(
            f"{name} keeps {_kind(places[lost[0]].owner)} in {listing(_named(lost), 3)}, which "
            "cannot be stored in the middle of an epoch; methods state_dict and load_state_dict of "
            "its class may say how"
        )
    return {
        "data": {path: place.copies() for path, place in places.items()},
        "moved": [path for path, place in places.items() if place.is_on_device],
        "generators": states_of(generators_in({"metric": metric})),
    }


def set_state_of_metric(
    metric: Any, state: State, shared: Collection[Any], device: torch.device | None
) -> None:
    """Put back what :func:`state_of_metric` gave, into a metric that was built the same way.

    Args:
        metric: A fresh one.
        state: The state.
        shared: As there.
        device: Where tensors are that were not on the host; None leaves all on the host.

    Raises:
        DataError: It has not the form of such a metric.
    """
    if "own" in state:
        metric.load_state_dict(state["own"])
        return
    places = dict(_places(metric, shared))
    moved = set(state["moved"])
    for path, values in state["data"].items():
        if path not in places:
            raise DataError(f'it has no "{path}"')
        places[path].put(_on(values, device) if path in moved and device is not None else values)
    set_states_of(generators_in({"metric": metric}), state["generators"])


class _Place:
    """An object of a metric, and what it holds by itself.

    Args:
        owner: The object.
        data: What of it is data, by name.
        is_lost: Whether it is something that can neither be stored nor be looked into.
    """

    def __init__(self, owner: Any, data: Mapping[Any, Any], is_lost: bool = False) -> None:
        self.owner = owner
        self.data = data
        self.is_lost = is_lost

    @property
    def is_on_device(self) -> bool:
        """Whether a tensor of it is not on the host."""
        return any(not tensor.is_cpu for tensor in _tensors_in(self.data))

    def copies(self) -> dict[Any, Any]:
        """What it holds, so that it stays as it is when the metric goes on."""
        return {name: _copy(value) for name, value in self.data.items()}

    def put(self, values: Mapping[Any, Any]) -> None:
        """Let it hold this."""
        if isinstance(self.owner, MutableMapping):
            self.owner.clear()
            self.owner.update(values)
            return
        for name, value in values.items():
            if isinstance(getattr(self.owner, name, None), _CODE):
                raise DataError(f'"{name}" is no data of it')
            # As it was read: a class may refuse assignments, or answer them.
            vars(self.owner)[name] = value


def _places(metric: Any, shared: Collection[Any]) -> Iterator[tuple[str, _Place]]:
    """The objects of a metric that hold data, by their paths from it."""
    seen = {id(one) for one in shared}
    waiting = [("", metric)]
    while waiting:
        path, item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        inside = _inside(item)
        yield path, _Place(item, {name: value for name, value in inside.items() if _is_data(value)})
        for name, value in inside.items():
            if _is_data(value) or _is_constant(value):
                continue
            for key, part in _objects_in(value, f"{path}/{name}"):
                if _is_made_of_attributes(part):
                    waiting.append((key, part))
                elif not _is_constant(part):
                    yield key, _Place(part, {}, is_lost=True)


def _inside(item: Any) -> dict[Any, Any]:
    """What an object holds, by name."""
    if isinstance(item, nn.Module):
        own = {name: value for name, value in vars(item).items() if name not in _OF_EVERY_MODULE}
        return {**own, **dict(nn.Module.named_children(item))}
    if isinstance(item, Mapping):
        return dict(item)
    return dict(vars(item))


def _objects_in(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A value; where it is a list or table of objects, these."""
    if type(value) in (list, tuple):
        for index, part in enumerate(value):
            yield from _objects_in(part, f"{path}/{index}")
    elif type(value) in (dict, OrderedDict):
        for key, part in value.items():
            yield from _objects_in(part, f"{path}/{key}")
    else:
        yield path, value


def _is_made_of_attributes(value: Any) -> bool:
    """Whether an object is one of a user, or of torchmetrics, that can be looked into."""
    if isinstance(value, (nn.Module, MutableMapping)):
        return True
    home = type(value).__module__.partition(".")[0]
    return hasattr(value, "__dict__") and home not in (*sys.stdlib_module_names, "torch", "numpy")


def _is_constant(value: Any) -> bool:
    """Whether something does not change when a metric counts, or is stored by itself."""
    if isinstance(value, (*_CODE, Enum)):
        return True
    home = type(value).__module__.partition(".")[0]
    return home in (*sys.stdlib_module_names, "torch", "numpy") and not isinstance(
        value, (nn.Module, MutableMapping, list, tuple, deque, set)
    )


def _is_data(value: Any) -> bool:
    if type(value) in _LEAVES or isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return True
    if type(value) not in _CONTAINERS:
        return False
    if isinstance(value, dict):
        return all(_is_data(key) and _is_data(one) for key, one in value.items())
    return all(map(_is_data, value))


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, (list, tuple, deque)):
        for part in value:
            yield from _tensors_in(part)


def _copy(value: Any, is_in_list: bool = False) -> Any:
    """The same in containers of its own; tensors in a list are added to it, and do not change."""
    if isinstance(value, torch.Tensor):
        return value.detach() if is_in_list else value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return type(value)((key, _copy(one)) for key, one in value.items())
    if isinstance(value, deque):
        return deque((_copy(part, True) for part in value), value.maxlen)
    if isinstance(value, (list, tuple, set)):
        return type(value)(_copy(part, True) for part in value)
    return value


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _on(one, device) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on(part, device) for part in value)
    return value


def _kind(value: Any) -> str:
    return with_article(type(value).__name__)


def _named(paths: Collection[str]) -> list[str]:
    """Paths as people write attributes."""
    return [path.strip("/").replace("/", ".") for path in paths]
