"""Buffers of modules that are run, and are afterwards as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from torchassistant.compat.modules import own_buffers, set_own_buffers
from torchassistant.graph.by_identity import distinct


def buffers_of(modules: Iterable[nn.Module]) -> Callable[[], None]:
    """Notes the buffers of modules; what it returns puts them back, replaced ones too."""
    parts = distinct(part for module in modules for part in module.modules())
    noted = [(part, dict(own)) for part in parts if len(own := own_buffers(part))]
    copies = [
        (elements_of(buffer), elements_of(buffer).detach().clone())
        for _, own in noted
        for buffer in own.values()
        if buffer is not None and not is_lazy(buffer)
    ]

    def put_back() -> None:
        for part, own in noted:
            set_own_buffers(part, own)
        with torch.no_grad():
            for elements, copy in copies:
                elements.copy_(copy)

    return put_back


def overlaps(tensor: torch.Tensor) -> bool:
    """Whether elements share memory, as in an expanded tensor, so that nothing can be put there."""
    if tensor.layout is not torch.strided or tensor.is_contiguous():
        return False
    axes = zip(tensor.shape, tensor.stride(), strict=True)
    return any(size > 1 and stride == 0 for size, stride in axes)


def elements_of(tensor: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
    """A view that has each element of an expanded tensor once, so that it can be written to.

    Args:
        tensor: Any tensor; one that is not expanded is its own view.
        like: The tensor that decides which axes are expanded; None is this one.
    """
    like = tensor if like is None else like
    if not overlaps(like):
        return tensor
    for axis, (size, stride) in enumerate(zip(like.shape, like.stride(), strict=True)):
        if size > 1 and stride == 0:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor
