"""Weights that torchvision and timm read for a model, left out where stored ones replace them.

The builders are called with all of their arguments: what they make of ``weights=`` is more than
numbers (how many classes, frozen batch norm, which layers learn, epsilons). Only the reading is
left out, at the one place through which each library reads.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


class LeftOut:
    """Remembers, without keeping them alive, the tensors whose weights were not read."""

    def __init__(self) -> None:
        self.tensors: list[weakref.ref[torch.Tensor]] = []

    def add(self, made: Any) -> None:
        """Note a model that was made without its weights."""
        self.tensors += map(weakref.ref, _tensors_of(made))

    def is_missed_in(self, made: Any) -> bool:
        """Whether one of them is in use, and is no parameter or buffer of what was made.

        Its state is all that is put back, so the weights of such a tensor have to be read.
        """
        if not self.tensors:
            return False
        parts = [made, getattr(made, "function", None), *getattr(made, "parts", ())]
        restored = {id(tensor) for part in parts for tensor in _tensors_of(part)}
        alive = (ref() for ref in self.tensors)
        return any(tensor is not None and id(tensor) not in restored for tensor in alive)


def _tensors_of(made: Any) -> Iterator[torch.Tensor]:
    if isinstance(made, nn.Module):
        yield from made.parameters()
        yield from made.buffers()


def reads_weights(target: Any) -> bool:
    """Whether this is a function of torchvision or timm that may read weights."""
    home = str(getattr(target, "__module__", ""))
    return home.startswith("torchvision.models.") or home.partition(".")[0] == "timm"


def called_without_weights(
    target: Any, args: Sequence[Any], kwargs: dict[str, Any], left_out: LeftOut
) -> Any:
    """Call such a function; weights are not read.

    Args:
        target: For which :func:`reads_weights` is true.
        args: Its arguments by position.
        kwargs: Those by name.
        left_out: Gets what was made, where weights would have been read.
    """
    skipped: list[Any] = []
    with ExitStack() as stack:
        if target.__module__.startswith("torchvision."):
            stack.enter_context(_torchvision_reads_nothing(skipped))
        elif not _enter_timm_reads_nothing(stack, skipped):
            args, kwargs = _without_pretrained(target, args, kwargs, skipped)
        made = target(*args, **kwargs)
    if skipped:
        left_out.add(made)
    return made


@contextmanager
def _torchvision_reads_nothing(skipped: list[Any]) -> Iterator[None]:
    from torchvision.models import WeightsEnum

    load = nn.Module.load_state_dict

    def get_state_dict(weights: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        skipped.append(weights)
        return {}

    def load_state_dict(module: nn.Module, state: Any, *args: Any, **kwargs: Any) -> Any:
        return load(module, state, *args, **kwargs) if len(state) else None

    with (
        _replaced(WeightsEnum, "get_state_dict", get_state_dict),
        _replaced(nn.Module, "load_state_dict", load_state_dict),
    ):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


_TIMM_READS = (
    ("timm.models._builder", "load_pretrained"),
    ("timm.models._factory", "load_checkpoint"),
)


def _enter_timm_reads_nothing(stack: ExitStack, skipped: list[Any]) -> bool:
    """Put aside timm's readers; whether it is a version that has them."""

    def skip(model: Any, *args: Any, **kwargs: Any) -> None:
        skipped.append(model)

    for module, name in _TIMM_READS:
        if not hasattr(sys.modules.get(module), name):
            return False
        stack.enter_context(_replaced(sys.modules[module], name, skip))
    return True


def _without_pretrained(
    target: Any, args: Sequence[Any], kwargs: dict[str, Any], skipped: list[Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments without those that ask timm for weights."""
    bound = inspect.signature(target).bind(*args, **kwargs)
    for key, nothing in (("pretrained", False), ("checkpoint_path", "")):
        if kwargs.get(key) is not None:
            kwargs = {**kwargs, key: nothing}
        elif bound.arguments.get(key):
            bound.arguments[key] = nothing
            args = bound.args
        else:
            continue
        skipped.append(key)
    return args, kwargs
