"""Modules that are run, and are afterwards as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy

_OWN = ("_parameters", "_buffers", "_modules")


def buffers_of(modules: Iterable[nn.Module]) -> Callable[[], None]:
    """Notes the buffers of modules; what it returns puts them back."""
    parts = list(dict.fromkeys(part for module in modules for part in module.modules()))
    noted = [
        (part, name, buffer, buffer.detach().clone())
        for part in parts
        for name, buffer in part.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]

    def put_back() -> None:
        with torch.no_grad():
            for part, name, buffer, copy in noted:
                buffer.copy_(copy)
                setattr(part, name, buffer)

    return put_back


@contextmanager
def kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Whatever runs in here, afterwards every module is as before.

    That is: parameters, buffers (also those that are not saved), gradients, train or eval mode,
    and the attributes of every submodule, as far as these were replaced and not changed in place.
    """
    parts = list(dict.fromkeys(part for module in modules for part in module.modules()))
    attributes = [
        (part, {key: value for key, value in vars(part).items() if key not in _OWN})
        for part in parts
    ]
    tensors = [
        (tensor, tensor.detach().clone())
        for part in parts
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False))
        if not is_lazy(tensor)
    ]
    gradients = [(p, p.grad) for part in parts for p in part.parameters(recurse=False)]
    buffers = [(part, dict(part.named_buffers(recurse=False))) for part in parts]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for part, own in buffers:
            for name, buffer in own.items():
                setattr(part, name, buffer)
        with torch.no_grad():
            for tensor, copy in tensors:
                tensor.copy_(copy)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for part, own_attributes in attributes:
            for key in [key for key in vars(part) if key not in _OWN]:
                if key not in own_attributes:
                    del vars(part)[key]
            vars(part).update(own_attributes)
