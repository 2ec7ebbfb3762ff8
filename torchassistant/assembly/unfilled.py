"""Models built without the values of their parameters, where stored ones are put in afterwards.

A model whose parameters are more than a process can hold is built so, shared, and only then filled.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from torchassistant.data import CODE, LEAVES, inside


@contextmanager
def unfilled() -> Iterator[None]:
    """In here modules get parameters that hold no memory, on torch's device ``meta``.

    What the code of a module asks of a value, as a condition does, raises there.
    """
    twins: dict[int, tuple[weakref.ref[nn.Parameter], nn.Parameter]] = {}

    def twin_of(module: nn.Module, name: str, parameter: Any) -> nn.Parameter | None:
        if type(parameter) is not nn.Parameter or not parameter.is_cpu:
            return None
        known, twin = twins.get(id(parameter), (None, None))
        if known is None or known() is not parameter:  # else two modules have it
            bare = torch.empty_like(parameter, device="meta")
            twin = nn.Parameter(bare, parameter.requires_grad)
            twins[id(parameter)] = weakref.ref(parameter), twin
        return twin

    handle = register_module_parameter_registration_hook(twin_of)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def only_lacks_parameters(model: nn.Module) -> bool:
    """Whether all else that a model keeps has values: its buffers, and its other tensors."""
    waiting: list[Any] = [model]
    seen: dict[int, Any] = {}
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            if value.is_meta and not isinstance(value, nn.Parameter):
                return False
        elif not isinstance(value, (*LEAVES, *CODE)) and id(value) not in seen:
            if len(seen) == _MOST:
                return False
            seen[id(value)] = value
            if isinstance(value, nn.Module):
                waiting += value.buffers(recurse=False)
            waiting += (item for _, item in inside(value, _MOST))
    return True


_MOST = 100_000
"""Objects that are looked at: what keeps more may keep a tensor that was not seen."""


def give_memory(model: nn.Module) -> None:
    """Give the parameters of a model memory, but no values: what is not put in stays NaN.

    They are other objects afterwards.

    Args:
        model: It may be shared.
    """
    filled: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, bare in [*module.named_parameters(recurse=False, remove_duplicate=False)]:
            if bare.is_meta:
                if bare not in filled:
                    memory = torch.full_like(bare, torch.nan, device="cpu")
                    filled[bare] = nn.Parameter(memory, bare.requires_grad)
                setattr(module, name, filled[bare])
    model.cpu()  # lets torch's FSDP2 see which tensors it has now
