"""The state of a module: what its ``state_dict`` says, and the buffers that it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from torchassistant.compat.modules import own_buffers, unsaved_names
from torchassistant.graph import elements_of, overlaps


def unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor | None]:
    """Buffers that torch leaves out of a state_dict; training may change them all the same."""
    has_any = any(own_buffers(part) for part in model.modules())
    saved = model.state_dict(keep_vars=True) if has_any else {}
    unsaved: dict[str, torch.Tensor | None] = {}
    for path, part in model.named_modules():
        for key, buffer in own_buffers(part).items():
            name = f"{path}.{key}" if path else key
            # One that is saved, and is None, is left out too.
            if name not in saved and (buffer is not None or key in unsaved_names(part)):
                unsaved[name] = buffer
    return unsaved


def set_buffers(model: nn.Module, stored: Mapping[str, Any], may_be_more: bool) -> list[str]:
    """Put buffers back that a state_dict leaves out.

    Args:
        model: Whose buffers. One that it registers when it is needed first, it gets here.
        stored: By their names.
        may_be_more: Whether the model may have buffers that are not stored.

    Returns:
        What is missing, and what is left over.
    """
    wrong = []
    for name, value in stored.items():
        part, key = _holder(model, name)
        if part is None or (key not in own_buffers(part) and hasattr(part, key)):
            wrong.append(f"{name} is left over")
            continue
        if key not in own_buffers(part):
            part.register_buffer(key, None, persistent=False)
        _set_buffer(model, part, key, value)
    if not may_be_more:
        wrong += [f"{name} is missing" for name in unsaved_buffers(model) if name not in stored]
    return wrong


def load_module(module: nn.Module, stored: Any) -> None:
    """Load what may hold buffers of other shapes, and such whose elements share memory."""
    if not (isinstance(stored, dict) and all(isinstance(name, str) for name in stored)):
        raise TypeError("it is not a table of tensors")
    _expect_dtypes(module, stored)
    buffers = dict(module.named_buffers())
    for name, value in stored.items():
        part, key = _holder(module, name)
        if part is None or key not in own_buffers(part) or not isinstance(value, torch.Tensor):
            continue
        if type(part).__module__.startswith("torch.nn.modules."):
            continue  # theirs have one shape
        if name not in buffers or buffers[name].shape != value.shape:
            _set_buffer(module, part, key, value)
    shared = [
        (part, key, buffer)
        for part in module.modules()
        for key, buffer in own_buffers(part).items()
        if buffer is not None and overlaps(buffer)
    ]
    for part, key, buffer in shared:
        own_buffers(part)[key] = buffer.clone(memory_format=torch.contiguous_format)
    try:
        module.load_state_dict(stored)
    finally:
        for part, key, buffer in shared:
            value, own_buffers(part)[key] = own_buffers(part)[key], buffer
            _set_buffer(module, part, key, value)


def _expect_dtypes(module: nn.Module, stored: Mapping[str, Any]) -> None:
    """See that nothing is rounded when it is copied.

    Raises:
        ValueError: Something would be.
    """
    for name, live in module.state_dict().items():
        value = stored.get(name)
        if not (isinstance(live, torch.Tensor) and isinstance(value, torch.Tensor)):
            continue
        if value.dtype is not live.dtype and not is_lazy(live):
            kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in (live, value)]
            raise ValueError(f'"{name}" is {kinds[0]}, and {kinds[1]} is stored')


def _holder(model: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """The part that a buffer stands in, if there is one, and the buffer's name there."""
    path, _, key = name.rpartition(".")
    try:
        return model.get_submodule(path), key
    except AttributeError:
        return None, key


def _set_buffer(model: nn.Module, part: nn.Module, key: str, value: torch.Tensor | None) -> None:
    """Give a buffer a value; one that has another shape, or none, is replaced."""
    buffer = own_buffers(part)[key]
    if value is None or buffer is None or buffer.shape != value.shape:
        if value is not None:
            device = next(model.parameters(), value).device if buffer is None else buffer.device
            value = value.to(device, copy=True)
        own_buffers(part)[key] = value
    else:
        with torch.no_grad():
            elements_of(buffer).copy_(elements_of(value, like=buffer))
