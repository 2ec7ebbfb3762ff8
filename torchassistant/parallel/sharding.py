"""Models of which each process holds a piece, by FSDP2 of torch: of every parameter some rows.

A block of a model is whole only while it runs, forwards or backwards.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from torchassistant.compat.tensor_internals import is_view
from torchassistant.errors import DataError

_BLOCKS = 64
_LEAST = 2**18
"""What holds less than one of so many parts of a model, and fewer elements than the second number,
is no block of its own: its messages would take longer than its rows are worth."""


_IS_ALONE = ContextVar("is_alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """What runs in here runs in one process only, which cannot run a shared model."""
    token = _IS_ALONE.set(True)
    try:
        yield
    finally:
        _IS_ALONE.reset(token)


def _expect_all(model: nn.Module, args: object) -> None:
    if _IS_ALONE.get():
        raise DataError(
            "one process alone cannot run a model of which each has a piece (fsdp): it would wait "
            'for the others for ever; "only_first" must be false for what runs models'
        )


def shard(model: nn.Module) -> None:
    """Let the processes share a model, which all of them have whole; it is changed in place.

    Args:
        model: Its parameters have dimensions, and are no module's of another model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    _give_memory_back()
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in [*_blocks(model), model]:
        block.register_forward_hook(_without_views)
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
        assert isinstance(block, FSDPModule), "it was made one"
        # Gradients are those of sums, and are divided by what these are over.
        block.set_gradient_divide_factor(1.0)
        block.set_force_sum_reduction_for_comms(True)
    for method in _RUN_TOO:
        if callable(getattr(model, method, None)):
            register_fsdp_forward_method(model, method)
    model.register_forward_pre_hook(_expect_all, prepend=True)


def _give_memory_back() -> None:
    """Let the system have what is freed, where glibc would keep it: blocks come and go.

    Tensors of some size get memory of their own then, whatever was freed before.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 1 << 18)  # M_MMAP_THRESHOLD, in bytes


_RUN_TOO = ("initial_state", "run_inference")
"""Methods that are called beside ``forward``, and may look at parameters."""


def _without_views(block: nn.Module, args: object, output: Any) -> Any:
    """A copy of what is a view: where it is changed in place, torch would not see it any more."""
    if isinstance(output, torch.Tensor):
        return output.clone() if output.requires_grad and is_view(output) else output
    if type(output) in (tuple, list):
        return type(output)(_without_views(block, args, one) for one in output)
    if type(output) is dict:
        return {key: _without_views(block, args, one) for key, one in output.items()}
    return output


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Its blocks, inner ones first: elements of lists and sequences, each called by itself."""
    places: dict[int, list[str]] = defaultdict(list)
    sizes: dict[int, int] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        places[id(parameter)].append(name)
        sizes[id(parameter)] = parameter.numel()
    least = min(sum(sizes.values()) / _BLOCKS, _LEAST)
    taken: set[int] = set()
    for path, module in reversed([*_elements(model)]):
        own = {id(p) for p in module.parameters()} - taken
        is_apart = all(name.startswith(f"{path}.") for key in own for name in places[key])
        if own and is_apart and sum(sizes[key] for key in own) >= least:
            taken |= own
            yield module


def _elements(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, module in model.named_modules():
        if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            for name, element in module.named_children():
                yield f"{path}.{name}" if path else name, element


def own_rows(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor: all of it, where it is not shared."""
    rows: Any = getattr(tensor, "to_local", None)
    return tensor if rows is None else rows()


def is_shared(tensor: Any) -> bool:
    """Whether each process holds some rows of a tensor."""
    return hasattr(tensor, "to_local")


def shared_like(live: Any, whole: torch.Tensor) -> torch.Tensor:
    """The own rows of a tensor that is here as a whole, shared as another one is."""
    from torch.distributed.tensor import DTensor

    each = -(-len(whole) // dist.get_world_size())
    begin = dist.get_rank() * each
    # A copy: of a view all would stay in memory.
    rows = whole[begin : begin + each].clone()
    return DTensor.from_local(
        rows, live.device_mesh, live.placements, shape=whole.shape, stride=whole.stride()
    )
