"""The state of an optimizer: torch's table, or a form of its own; and of an optimizer within it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from torchassistant.messages import logger_for
from torchassistant.training import has_own_form, wrapped_in

_log = logger_for(__name__)

WRAPPED = "wrapped"
"""Under which key the states of optimizers within another one are stored."""


def state_of_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """What is stored of it."""
    state = optimizer.state_dict()
    wrapped = {name: one.state_dict() for name, one in wrapped_in(optimizer).items()}
    return {**state, WRAPPED: wrapped} if wrapped else state


def load_optimizer(optimizer: Optimizer, stored: Mapping[str, Any]) -> None:
    """Give an optimizer what :func:`state_of_optimizer` has given.

    One that it keeps goes on with the same groups of parameters, where both have the same.
    """
    wrapped = wrapped_in(optimizer)
    shared = {name: _shared_groups(optimizer, one) for name, one in wrapped.items()}
    own = stored if has_own_form(optimizer) else {k: v for k, v in stored.items() if k != WRAPPED}
    optimizer.load_state_dict(dict(own))
    if not has_own_form(optimizer):
        _as_it_was(optimizer, own)
    states = stored.get(WRAPPED, {}) if wrapped else {}
    for name, one in wrapped.items():
        if name not in states:
            _log.warning(f"no state of the optimizer within {type(optimizer).__name__} is stored")
            continue
        one.load_state_dict(states[name])
        _as_it_was(one, states[name])
        groups = shared[name]
        if groups is not None:
            one.param_groups = [optimizer.param_groups[index] for index in groups]


def _shared_groups(optimizer: Optimizer, wrapped: Optimizer) -> list[int] | None:
    """Which groups of an optimizer those of one within are, so that a rate holds for both."""
    places = {id(group): index for index, group in enumerate(optimizer.param_groups)}
    found = [places.get(id(group)) for group in wrapped.param_groups]
    indices = [index for index in found if index is not None]
    return indices if len(indices) == len(found) else None


def _as_it_was(optimizer: Optimizer, stored: Mapping[str, Any]) -> None:
    """Give loaded state the dtype that it had, and the memory format of its parameter.

    torch gives it the dtype of the parameter, and files hold no format; fused kernels ask for one.
    """
    for live, group in zip(optimizer.param_groups, stored["param_groups"], strict=True):
        for parameter, index in zip(live["params"], group["params"], strict=True):
            state = optimizer.state.get(parameter, {})
            for key, value in stored["state"].get(index, {}).items():
                loaded = state.get(key)
                if not (isinstance(value, torch.Tensor) and isinstance(loaded, torch.Tensor)):
                    if key in state:
                        state[key] = _nested_as_it_was(loaded, value)
                    continue
                if loaded.dtype != value.dtype:
                    state[key] = loaded = value.to(loaded.device, copy=True)
                is_plain = loaded.layout is parameter.layout is torch.strided
                if not is_plain or loaded.shape != parameter.shape:
                    continue
                if loaded.stride() != parameter.stride():
                    state[key] = torch.empty_like(parameter, dtype=loaded.dtype).copy_(loaded)


def _nested_as_it_was(loaded: Any, stored: Any) -> Any:
    """The same for what holds tensors, as the history of LBFGS; torch makes it anew, by its type.

    A deque has no bound then, and a text is none.
    """
    if isinstance(stored, torch.Tensor) and isinstance(loaded, torch.Tensor):
        is_same = loaded.dtype == stored.dtype
        return loaded if is_same else stored.to(loaded.device, copy=True)
    if isinstance(stored, dict) and isinstance(loaded, dict):
        return type(stored)({k: _nested_as_it_was(loaded[k], v) for k, v in stored.items()})
    if isinstance(stored, (list, tuple, deque)) and isinstance(loaded, type(stored)):
        items = map(_nested_as_it_was, loaded, stored)
        return deque(items, stored.maxlen) if isinstance(stored, deque) else type(stored)(items)
    return stored
