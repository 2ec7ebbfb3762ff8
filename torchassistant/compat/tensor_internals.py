"""What torch keeps private about tensors: versions, hooks, and the parts of some layouts."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch

_VERSION = "_version"
_HOOKS = "_backward_hooks"
_PARTS = ("_indices", "_values")


def version_of(tensor: torch.Tensor) -> int:
    """A number that changes where a tensor is changed in place.

    Private: ``Tensor._version``, in torch 2.10 to 2.14. It costs nothing, however large the tensor.

    Without it: a checksum of what the tensor holds, which reads all of it.
    """
    version: int | None = getattr(tensor, _VERSION, None)
    return _checksum(tensor) if version is None else version


def _checksum(tensor: torch.Tensor) -> int:
    dense = tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()
    held: Any = dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return zlib.crc32(held)


def backward_hooks_of(tensor: torch.Tensor) -> list[Callable[..., Any]]:
    """The hooks that were registered at a tensor itself.

    Private: ``Tensor._backward_hooks``, in torch 2.10 to 2.14; nothing public says so.

    Without it: none, and what they hold is not looked at.
    """
    hooks: dict[int, Callable[..., Any]] | None = getattr(tensor, _HOOKS, None)
    return [] if hooks is None else list(hooks.values())


def sparse_parts(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """What a sparse COO tensor is made of.

    Private: ``Tensor._indices`` and ``Tensor._values``, in torch 2.10 to 2.14. The public methods
    refuse a tensor in which an index may stand twice.

    Without them: those of the coalesced tensor, in which such entries are added.

    Returns:
        The indices, int64 (dimensions, entries), the values (entries, ...), and whether no index
        stands there twice.
    """
    indices, values = (getattr(tensor, name, None) for name in _PARTS)
    if indices is None or values is None:
        tensor = tensor.coalesce()
        return tensor.indices(), tensor.values(), True
    return indices(), values(), tensor.is_coalesced()


def quantized(ints: torch.Tensor, scale: float, zero_point: int) -> torch.Tensor:
    """A quantized tensor with one scale, of the integers that it holds.

    Private: ``torch._make_per_tensor_quantized_tensor``, in torch 2.10 to 2.14. Nothing public
    takes the integers themselves.

    Without it: the bytes are copied into one that was quantized from zeros.

    Args:
        ints: int8, uint8 or int32, of any shape.
        scale: What they are multiplied by.
        zero_point: The integer that stands for zero.
    """
    make = getattr(torch, "_make_per_tensor_quantized_tensor", None)
    if make is not None:
        made: torch.Tensor = make(ints, scale, zero_point)
        return made
    zeros = torch.zeros(ints.shape)
    kind = _QUANTIZED[ints.dtype]
    return _with_ints(torch.quantize_per_tensor(zeros, scale, zero_point, kind), ints)


def quantized_by_channel(
    ints: torch.Tensor, scales: torch.Tensor, zero_points: torch.Tensor, axis: int
) -> torch.Tensor:
    """A quantized tensor with a scale for each channel, of the integers that it holds.

    Private: ``torch._make_per_channel_quantized_tensor``; as for :func:`quantized`.

    Args:
        ints: int8, uint8 or int32, of any shape.
        scales: float64 (channels,).
        zero_points: int64 (channels,).
        axis: Which axis of ``ints`` the channels are.
    """
    make = getattr(torch, "_make_per_channel_quantized_tensor", None)
    if make is not None:
        made: torch.Tensor = make(ints, scales, zero_points, axis)
        return made
    zeros, kind = torch.zeros(ints.shape), _QUANTIZED[ints.dtype]
    empty = torch.quantize_per_channel(zeros, scales, zero_points, axis, kind)
    return _with_ints(empty, ints)


_QUANTIZED = {torch.int8: torch.qint8, torch.uint8: torch.quint8, torch.int32: torch.qint32}


def _with_ints(tensor: torch.Tensor, ints: torch.Tensor) -> torch.Tensor:
    tensor.untyped_storage().copy_(ints.contiguous().clone().untyped_storage())
    return tensor


def is_view(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a view of another one, as autograd has it.

    Private: ``Tensor._base``, in torch 2.10 to 2.14. FSDP2 warns of what it is true of.

    Without it: it is taken for one.
    """
    return getattr(tensor, "_base", tensor) is not None
