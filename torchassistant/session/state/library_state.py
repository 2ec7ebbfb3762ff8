"""Whether what was put into torch's own optimizers and schedulers is what they keep there.

They take anything, and raise much later, in the middle of a step. Objects of the user's own are
asked nothing: what they keep is theirs.
"""

from __future__ import annotations

import contextlib
import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from torchassistant.training import stepping

_SIDE = 2
"""Elements along each side of the parameter that a step is tried with."""


def is_torchs(item: Any) -> bool:
    """Whether an object is of a class of torch."""
    return type(item).__module__.startswith("torch.")


def unlike(was: Any, now: Any, where: str = "") -> Iterator[str]:
    """The places at which plain data is of another form than before.

    Args:
        was: As it was made: what stands there as a number stays one, a list as long as it is.
        now: As it was stored.
        where: What both of it is.
    """
    if isinstance(was, Mapping):
        if not isinstance(now, Mapping):
            yield where
            return
        for key in was.keys() & now.keys():
            yield from unlike(was[key], now[key], f"{where}.{key}" if where else str(key))
    elif isinstance(was, (list, tuple)):
        if not isinstance(now, (list, tuple)) or (was and len(was) != len(now)):
            yield where
            return
        for index, (one, other) in enumerate(zip(was, now, strict=False)):
            yield from unlike(one, other, f"{where}[{index}]")
    elif isinstance(was, (bool, str)):
        if type(now) is not type(was):
            yield where
    elif (_is_number(was) and not _is_number(now)) or (
        was is None and isinstance(now, (Mapping, list, tuple, set))
    ):
        yield where


def _is_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex()
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def unlike_state(item: Any, now: Any) -> Iterator[str]:
    """The keys of a stored state that an object of torch does not keep so.

    Args:
        item: As it was made. No state may stand before its methods, or its other attributes.
        now: As it was stored.
    """
    was = item.state_dict()
    if not isinstance(now, Mapping):
        yield "all of it"
        return
    yield from (str(key) for key in now if key not in was and hasattr(item, str(key)))
    yield from (str(key) for key in was if key not in now and key in _NEEDED)
    yield from unlike(was, now)


_NEEDED = ("base_lrs", "last_epoch", "_last_lr", "scale")


def unlike_optimizer(
    optimizer: Optimizer, groups: Sequence[Mapping[str, Any]], stored: Mapping[str, Any]
) -> Iterator[str]:
    """What an optimizer of torch has been given that it does not keep so.

    Args:
        optimizer: It has its state.
        groups: Its parameter groups as they were made.
        stored: What it was given.
    """
    known = {index for group in stored["param_groups"] for index in group["params"]}
    yield from (f"state of {key!r}" for key in stored["state"] if key not in known)
    for index, (was, now) in enumerate(zip(groups, optimizer.param_groups, strict=True)):
        where, made = f"param_groups[{index}]", {k: v for k, v in was.items() if k != "params"}
        yield from (f"{where}.{key}" for key in made.keys() - now.keys())
        yield from unlike(made, now, where)
    for group in optimizer.param_groups:
        for number, parameter in enumerate(group["params"]):
            state = optimizer.state.get(parameter)
            if state:
                yield from _unlike_state_of(optimizer, group, parameter, state, number)


def _unlike_state_of(
    optimizer: Optimizer,
    group: Mapping[str, Any],
    parameter: torch.Tensor,
    state: Any,
    number: int,
) -> Iterator[str]:
    for key, made in tried(optimizer, group, parameter).items():
        where = f"state of parameter {number}: {key}"
        if key not in state:
            yield where
        elif isinstance(made, torch.Tensor):
            stored = state[key]
            if stored is None:
                continue  # as it is before the first step
            shape = _shape(made, parameter)
            if not (isinstance(stored, torch.Tensor) and _is_alike(made, stored, shape)):
                yield where
        elif isinstance(made, (int, float)) and not _is_number(state[key]):
            yield where


def _is_alike(made: torch.Tensor, stored: torch.Tensor, shape: torch.Size) -> bool:
    kinds = [(t.is_floating_point(), t.is_complex()) for t in (made, stored)]
    has_shape = stored.shape == shape or (made.numel() == stored.numel() == 1)
    return kinds[0] == kinds[1] and has_shape


def _shape(made: torch.Tensor, parameter: torch.Tensor) -> torch.Size:
    """The shape of what belongs to a parameter, after the one that was tried."""
    if made.ndim != parameter.ndim:
        return made.shape
    sides = zip(made.shape, parameter.shape, strict=True)
    return torch.Size([side if tried == _SIDE else tried for tried, side in sides])


def tried(
    optimizer: Optimizer, group: Mapping[str, Any], parameter: torch.Tensor
) -> dict[str, Any]:
    """What the optimizer keeps of a small parameter after one step; nothing where none is made."""
    if parameter.layout is not torch.strided:
        return {}
    home = "cpu" if parameter.is_meta else parameter.device
    small = torch.zeros((_SIDE,) * parameter.ndim, dtype=parameter.dtype, device=home)
    small.requires_grad_()
    small.grad = torch.zeros_like(small)
    with contextlib.suppress(Exception):
        twin = copy.copy(optimizer)
        twin.state = defaultdict(dict)
        twin.param_groups = [{**group, "params": [small]}]
        stepping(twin)()
        return dict(twin.state[small])
    return {}
