"""Which buffers a forward pass changes, where they are put back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from torchassistant.compat.modules import own_buffers


@contextmanager
def noting_changed_buffers(model: nn.Module) -> Iterator[list[str]]:
    """Notes the names of buffers that calls of a model change in here, as codebooks and queues.

    Those of torch's own layers are passed over: that batch norm moves its statistics is known, and
    that a model which is not trained keeps them is what is meant as a rule.

    Args:
        model: Its buffers may be copies while it runs, so they are looked at as soon as it has run.
    """
    changed: list[str] = []

    def before(*_: object) -> None:
        noted[:] = [(name, buffer, buffer.clone()) for name, buffer in _own_of_user(model)]

    def after(*_: object) -> None:
        now = dict(_own_of_user(model))
        for name, buffer, copy in noted:
            is_there = now.get(name) is buffer
            if not (is_there and _same_bits(buffer, copy)) and name not in changed:
                changed.append(name)

    noted: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    hooks = [model.register_forward_pre_hook(before), model.register_forward_hook(after)]
    try:
        yield changed
    finally:
        for hook in hooks:
            hook.remove()


def _own_of_user(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for path, part in model.named_modules():
        if type(part).__module__.partition(".")[0] == "torch":
            continue
        for name, buffer in own_buffers(part).items():
            if buffer is not None:
                yield f"{path}.{name}" if path else name, buffer


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if one.is_floating_point():  # NaN equals NaN here
        return torch.equal(one.isnan(), other.isnan()) and torch.equal(
            one.nan_to_num(), other.nan_to_num()
        )
    return torch.equal(one, other)
