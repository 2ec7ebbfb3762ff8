"""What samplers, and datasets that can only be iterated over, keep from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, Sampler

from torchassistant.data.object_rngs import (
    expect_states_of,
    generators_in,
    has_state,
    set_states_of,
    states_of,
)

_PLAIN = (int, float, bool, str, type(None))
_LARGEST = 1_000_000  # elements: what is larger is data


class SamplerState:
    """The state of an object, and of the samplers that it draws from.

    That is what its ``state_dict`` says; else the generators that it keeps, and those of its
    attributes (numbers, texts, lists of them, tensors, arrays) that are not what they were when it
    was built.

    Args:
        owner: The object; None keeps nothing.
        others: What draws random numbers with it.
    """

    def __init__(self, owner: Any, *others: Any) -> None:
        self.owner = owner
        self.own = generators_in({"owner": owner, "others": others})
        self.built_with = {name: _copied(value) for name, value in self._attributes()}

    def start_epoch(self, epoch: int) -> None:
        """Call ``set_epoch`` where there is one."""
        for _, holder in _holders(self.owner):
            if callable(getattr(holder, "set_epoch", None)):
                holder.set_epoch(epoch)

    def state(self) -> Any:
        """As plain data and tensors; None where there is nothing to keep."""
        if self.owner is None:
            return None
        own_states = {p: h.state_dict() for p, h in _holders(self.owner) if has_state(h)}
        changed = {
            name: _copied(value)
            for name, value in self._attributes()
            if name not in self.built_with or not _equal(self.built_with[name], value)
        }
        return {"generators": states_of(self.own), "told": own_states, "changed": changed}

    def set_state(self, state: Any) -> list[str]:
        """Put back what :meth:`state` gave.

        Returns:
            What has no place here, and what has no state there; the rest is put back.

        Raises:
            IncompatibleState: The state of a generator is none.
        """
        if state is None or self.owner is None:
            return []
        expect_states_of(self.own, state["generators"])
        set_states_of(self.own, state["generators"])
        holders = dict(_holders(self.owner))
        stateful = {path for path, holder in holders.items() if has_state(holder)}
        for path in stateful & state["told"].keys():
            holders[path].load_state_dict(state["told"][path])
        self._set_attributes({**self.built_with, **state["changed"]}, state["changed"], holders)
        return sorted(
            [
                *(f"{_named(p)} is left over" for p in state["told"].keys() - stateful),
                *(f"{_named(p)} is missing" for p in stateful - state["told"].keys()),
                *(f"the generator {p} is missing" for p in self.own.keys() - state["generators"]),
            ]
        )

    def lacks(self, state: Any) -> list[str]:
        """The paths of generators that a state has, and that are not here yet."""
        stored = {} if state is None or self.owner is None else state["generators"]
        return sorted(stored.keys() - self.own.keys())

    def _set_attributes(
        self, values: dict[str, Any], changed: dict[str, Any], holders: dict[str, Any]
    ) -> None:
        """Give attributes their values; one that was made since is taken away."""
        now = dict(self._attributes())
        for name in {**values, **now}:
            path, _, key = name.rpartition(".")
            holder = holders.get(f"{path}." if path else "")
            if holder is None or has_state(holder):
                continue
            if name not in values:
                delattr(holder, key)
            elif name in changed or (name in now and not _equal(now[name], values[name])):
                setattr(holder, key, _copied(values[name]))

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for path, holder in _holders(self.owner):
            if not has_state(holder):
                for name, value in _attributes_of(holder):
                    yield f"{path}{name}", value


def is_sampler_state(state: Any) -> bool:
    """Whether something has the form of what :meth:`SamplerState.state` gives."""
    if state is None:
        return True
    if not isinstance(state, dict) or state.keys() != {"generators", "told", "changed"}:
        return False
    if not all(isinstance(table, dict) for table in state.values()):
        return False
    names = [name for table in state.values() for name in table]
    return all(isinstance(name, str) for name in names) and all(
        _can_be_stored(value) and not name.rpartition(".")[2].startswith("__")
        for name, value in state["changed"].items()
    )


def _holders(owner: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """An object, and the samplers that it draws from."""
    yield path, owner
    for name, inner in getattr(owner, "__dict__", {}).items():
        if isinstance(inner, (Sampler, IterableDataset)):
            yield from _holders(inner, f"{path}{name}.")


def _named(path: str) -> str:
    return f"what {path.removesuffix('.') or 'it'} tells of its state"


def _attributes_of(holder: Any) -> Iterator[tuple[str, Any]]:
    for name, value in getattr(holder, "__dict__", {}).items():
        if _can_be_stored(value):
            yield name, value


def _can_be_stored(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() <= _LARGEST
    if isinstance(value, np.ndarray):
        return value.size <= _LARGEST and value.dtype.kind in "biuf"
    if type(value) in (list, tuple):
        return len(value) <= _LARGEST and all(type(item) in _PLAIN for item in value)
    return type(value) in _PLAIN


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    return list(value) if type(value) is list else value


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
