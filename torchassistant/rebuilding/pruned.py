"""What pruning has left of a model, as the sizes of what has become smaller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from torchassistant.compat.modules import own_buffers, own_parameters, set_flat_weights
from torchassistant.rebuilding.misfit import Misfit, module_at


def difference_of_structure(before: nn.Module, after: nn.Module) -> dict[str, dict[str, Any]]:
    """The modules whose sizes differ, by path: their ``attributes``, and ``shapes`` of tensors.

    Args:
        before: A model.
        after: The same, with fewer channels in its layers.
    """
    found: dict[str, dict[str, Any]] = {}
    then = dict(before.named_modules(remove_duplicate=False))
    for path, now in after.named_modules(remove_duplicate=False):
        old, new = vars(then[path]), vars(now)
        attributes = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in new.items()
            if _is_size(value) and name in old and _is_size(old[name]) and old[name] != value
        }
        was = _shapes(then[path])
        shapes = {name: s for name, s in _shapes(now).items() if was.get(name) != s}
        if attributes or shapes:
            found[path] = {"attributes": attributes, "shapes": shapes}
    return found


def with_fewer_channels(model: nn.Module, modules: Mapping[str, Mapping[str, Any]]) -> nn.Module:
    """Give the layers of a model other sizes; what they hold is to be loaded.

    Args:
        model: Is changed.
        modules: As :func:`difference_of_structure` gives them.

    Raises:
        Misfit: There is no such module, or it has no such attribute or tensor.
    """
    for path, sizes in modules.items():
        module = module_at(model, path)
        for name, value in sizes["attributes"].items():
            old = vars(module).get(name)
            if not _is_size(old):
                raise Misfit(f'"{path}" has no size "{name}"')
            setattr(module, name, tuple(value) if isinstance(old, tuple) else value)
        for name, shape in sizes["shapes"].items():
            _resize(module, path, name, shape)
        if isinstance(module, nn.RNNBase):
            set_flat_weights(module, True)
    return model


def _resize(module: nn.Module, path: str, name: str, shape: list[int]) -> None:
    parameter, buffer = own_parameters(module).get(name), own_buffers(module).get(name)
    if parameter is not None:
        empty = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
        own_parameters(module)[name] = nn.Parameter(empty, parameter.requires_grad)
    elif buffer is not None:
        own_buffers(module)[name] = torch.zeros(shape, dtype=buffer.dtype, device=buffer.device)
    else:
        raise Misfit(f'"{path}" has no parameter or buffer "{name}"')


def _is_size(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(type(one) is int for one in value)
    return type(value) is int


def _shapes(module: nn.Module) -> dict[str, list[int]]:
    tensors = {**own_parameters(module), **own_buffers(module)}
    return {name: list(tensor.shape) for name, tensor in tensors.items() if tensor is not None}
