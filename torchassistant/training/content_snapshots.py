"""What tensors, arrays, buffers and files hold: noted, and put back."""

from __future__ import annotations

import array
import ctypes
import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from torchassistant.compat.tensor_internals import version_of
from torchassistant.graph import elements_of

PutBack = Callable[[], str | None]
"""Puts something back; says what has become of it where that cannot be done."""

BUFFERS = (bytearray, array.array, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)

_LARGE = "was changed in place, and is large"


def can_be_noted(tensor: torch.Tensor) -> bool:
    """Whether a tensor has contents that may change."""
    return not (is_lazy(tensor) or tensor.device.type == "meta" or tensor.is_inference())


def tensor_as_it_is(tensor: torch.Tensor, is_copied: bool) -> PutBack:
    """Puts back what a tensor holds, its gradient, and whether it takes one.

    Args:
        tensor: Any tensor with contents.
        is_copied: Whether there is room for a copy, on the host: a device that is nearly full has
            to do for the training. Else only a change of it is reported.
    """
    alias, version, takes_gradient = tensor.detach(), version_of(tensor), tensor.requires_grad
    copy = elements_of(alias).to("cpu", copy=True) if is_copied else None
    gradient = tensor.grad if tensor.is_leaf else None

    def put() -> str | None:
        if tensor.is_leaf:
            tensor.requires_grad_(takes_gradient)
        if tensor.layout is torch.strided and not _has_memory_of(tensor, alias):
            tensor.data = alias
        if tensor.is_leaf:
            tensor.grad = gradient
        if copy is None:
            return None if version_of(tensor) == version else _LARGE
        if tensor.layout is not torch.strided:
            if version_of(tensor) != version:
                tensor.data = copy.to(tensor.device)
        elif not _is_same(elements_of(alias), copy):
            with torch.no_grad():
                elements_of(alias).copy_(copy)
        return None

    return put


def array_as_it_is(value: np.ndarray[Any, Any]) -> PutBack:
    """Puts back what an array holds: numbers, or objects, which are the same ones then."""
    copy = value.copy()

    def put() -> str | None:
        if value.shape != copy.shape:
            return "is an array that has another shape now"
        if value.dtype.hasobject or value.tobytes() != copy.tobytes():
            value[...] = copy
        return None

    return put


def array_watched(value: np.ndarray[Any, Any]) -> PutBack:
    """Reports whether an array of numbers was changed; it is not copied."""
    before = _sum_of(value)
    return lambda: None if _sum_of(value) == before else _LARGE


def buffer_as_it_is(value: Any) -> PutBack:
    """Puts back the bytes of a ``bytearray``, an ``array.array``, or what C knows."""
    if isinstance(value, (bytearray, array.array)):
        copy: Any = value[:]

        def put_items() -> None:
            value[:] = copy

        return put_items
    raw = ctypes.string_at(ctypes.addressof(value), ctypes.sizeof(value))

    def put_bytes() -> None:
        ctypes.memmove(ctypes.addressof(value), raw, len(raw))

    return put_bytes


def file_as_it_is(value: Any) -> PutBack:
    """Puts back the position in a file that can be read; and what it holds, if that is memory."""
    before = value.tell()
    contents = value.getvalue() if isinstance(value, (io.BytesIO, io.StringIO)) else None

    def put() -> str | None:
        if value.closed:
            return "is a file that was closed"
        moved = value.tell() != before
        if contents is not None and contents != value.getvalue():
            value.seek(0)
            value.truncate()
            value.write(contents)
        if moved:
            value.seek(before)
        is_written = contents is None and moved and value.writable()
        return "is a file that was written to" if is_written else None

    return put


def _has_memory_of(value: torch.Tensor, alias: torch.Tensor) -> bool:
    return (value.data_ptr(), value.shape, value.stride()) == (
        alias.data_ptr(),
        alias.shape,
        alias.stride(),
    )


def _is_same(value: torch.Tensor, copy: torch.Tensor) -> bool:
    """Whether the bits are the same, as far as that can be known without waiting for a device.

    Memory that may only be read must not be written to, even with what stands there.
    """
    if value.device.type != "cpu" or value.is_quantized:
        return False
    # An axis of one element may have any stride, and a view of bytes asks for 1.
    flat = [t.contiguous().as_strided((t.numel(),), (1,)) for t in (value, copy)]
    return torch.equal(*(t.view(torch.uint8) for t in flat))


def _sum_of(value: np.ndarray[Any, Any]) -> int:
    flat: Any = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return zlib.crc32(flat)
