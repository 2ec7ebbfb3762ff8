"""One value as a layout and flat bytes, and back: the same type, the same bits.

A layout is plain data: the kind, the number of bytes, and what else it takes to make the value
again. Values of one layout differ in nothing but their bytes.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

Layout = tuple[Any, ...]
"""``(kind, bytes, …)``: numbers, texts, None, and tuples of those."""

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_LONGEST = 2**63
_LISTS: dict[type, str] = {bool: "B", int: "q", float: "d"}
"""Types of which a list is stored as an array, by the code of the array."""

_DTYPES = {str(item): item for item in vars(torch).values() if isinstance(item, torch.dtype)}
_MODES = ("1", "L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16")
"""Of the images of PIL those that their pixels say all of."""


class Unstorable(Exception):
    """A value of a kind that is not stored; the message is a noun with what is wrong with it."""


def encode(value: Any) -> tuple[Layout, bytes]:
    """The layout and the bytes of a value.

    Raises:
        Unstorable: It is of another kind than those of this module, or so is something in it.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        return encoder(value)
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        data = value.tobytes()
        return ("scalar", len(data), value.dtype.str), data
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(value, pillow.Image):
        return _image(value)
    raise Unstorable(f"a value of type {type_name(value)}")


def decode(layout: Layout, data: Bytes) -> Any:
    """The value again, with memory of its own."""
    return _DECODERS[layout[0]](layout, data)


def type_name(value: Any) -> str:
    """The name of a value's type, with its module where that says something."""
    kind = type(value)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{prefix}{kind.__qualname__}"


def dtype_of(layout: Layout) -> tuple[torch.dtype, tuple[int, ...]] | None:
    """As what a value's bytes stand in a tensor, dtype and shape; None where torch has none."""
    kind = layout[0]
    if kind == "tensor":
        return _DTYPES[layout[2]], layout[3]
    if kind in _NUMBERS:
        return _NUMBERS[kind], ()
    if kind == "scalar" or (kind == "array" and layout[4] is None):
        dtype = np.dtype(layout[2])
        try:
            known = torch.from_numpy(np.empty(0, dtype)).dtype if dtype.isnative else None
        except TypeError:
            return None
        return (known, layout[3] if kind == "array" else ()) if known is not None else None
    return None


_NUMBERS = {"bool": torch.bool, "int": torch.int64, "float": torch.float64}


# Tensors and arrays


def _tensor(value: torch.Tensor) -> tuple[Layout, bytes]:
    name = str(value.dtype)
    if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise Unstorable(f"a tensor that is not dense on the CPU ({value.layout}, {value.device})")
    if value.requires_grad:
        raise Unstorable("a tensor that requires gradients")
    # Gaps and repetitions are not kept; the order of the dimensions in memory is.
    strides = None if value.is_contiguous() else torch.empty_like(value).stride()
    flat = value.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return ("tensor", len(flat), name, tuple(value.shape), strides), flat.numpy().tobytes()


def _to_tensor(layout: Layout, data: Bytes) -> torch.Tensor:
    _, _, dtype, shape, strides = layout
    if not len(data):
        value = torch.empty(shape, dtype=_DTYPES[dtype])
    else:
        value = torch.from_numpy(data).clone().view(_DTYPES[dtype]).view(shape)
    if strides is None:
        return value
    return torch.empty_strided(shape, strides, dtype=value.dtype).copy_(value)


def _array(value: np.ndarray[Any, Any]) -> tuple[Layout, bytes]:
    if value.dtype.kind not in "biufcmMSU":
        raise Unstorable(f"an array of {value.dtype}")
    order = None if value.flags.c_contiguous else _memory_order(value)
    data = (value if order is None else value.transpose(order)).tobytes()
    return ("array", len(data), value.dtype.str, value.shape, order), data


def _memory_order(value: np.ndarray[Any, Any]) -> tuple[int, ...] | None:
    """The dimensions from the slowest in memory to the fastest; None for the usual order."""
    order = tuple(sorted(range(value.ndim), key=lambda d: -abs(value.strides[d])))
    return None if order == tuple(range(value.ndim)) else order


def _to_array(layout: Layout, data: Bytes) -> np.ndarray[Any, Any]:
    _, _, dtype, shape, order = layout
    if order is None:
        return np.ndarray(shape, dtype, data.tobytes()).copy()
    stored = np.ndarray(tuple(shape[d] for d in order), dtype, data.tobytes()).copy()
    return stored.transpose(np.argsort(order))


def _to_scalar(layout: Layout, data: Bytes) -> Any:
    return np.ndarray((), layout[2], data.tobytes())[()]


# What Python has


def _int(value: int) -> tuple[Layout, bytes]:
    if not -_LONGEST <= value < _LONGEST:
        raise Unstorable("an integer beyond 64 bits")
    return ("int", 8), array("q", (value,)).tobytes()


def _str(value: str) -> tuple[Layout, bytes]:
    data = value.encode("utf-8", "surrogatepass")
    return ("str", len(data)), data


def _sequence(value: Sequence[Any]) -> tuple[Layout, bytes]:
    """Numbers of one kind as an array; anything else as what its elements are stored as."""
    name, kinds = type(value).__name__, set(map(type, value))
    code = _LISTS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if code is not None:
        try:
            data = array(code, value).tobytes()
        except OverflowError:
            raise Unstorable("an integer beyond 64 bits") from None
        return (f"{name} of {next(iter(kinds)).__name__}", len(data)), data
    parts = [encode(item) for item in value]
    joined = b"".join(data for _, data in parts)
    return (name, len(joined), tuple(layout for layout, _ in parts)), joined


def _dict(value: dict[Any, Any]) -> tuple[Layout, bytes]:
    keys, items = encode(list(value)), encode(list(value.values()))
    joined = keys[1] + items[1]
    return ("dict", len(joined), keys[0], items[0]), joined


def _parts(layouts: Sequence[Layout], data: Bytes) -> list[Any]:
    values, start = [], 0
    for layout in layouts:
        values.append(decode(layout, data[start : start + layout[1]]))
        start += layout[1]
    return values


def _numbers(code: str, kind: type) -> Callable[[Layout, Bytes], Any]:
    def from_bytes(layout: Layout, data: Bytes) -> Any:
        numbers = array(code, data.tobytes())
        return kind(map(bool, numbers) if code == "B" else numbers)

    return from_bytes


# Images of PIL


def _image(value: Any) -> tuple[Layout, bytes]:
    """Mode, size and pixels; a file that is not read yet becomes an image in memory."""
    if value.mode not in _MODES or "transparency" in value.info:
        also = " with a transparent colour" if "transparency" in value.info else ""
        raise Unstorable(f"an image of the mode {value.mode}{also}")
    data = value.tobytes()
    return ("image", len(data), value.mode, value.size), data


def _to_image(layout: Layout, data: Bytes) -> Any:
    from PIL import Image

    return Image.frombytes(layout[2], layout[3], data.tobytes())


_ENCODERS: dict[type, Callable[[Any], tuple[Layout, bytes]]] = {
    torch.Tensor: _tensor,
    np.ndarray: _array,
    bool: lambda value: (("bool", 1), bytes((value,))),
    int: _int,
    float: lambda value: (("float", 8), array("d", (value,)).tobytes()),
    type(None): lambda value: (("none", 0), b""),
    str: _str,
    bytes: lambda value: (("bytes", len(value)), value),
    list: _sequence,
    tuple: _sequence,
    dict: _dict,
}
_DECODERS: dict[str, Callable[[Layout, Bytes], Any]] = {
    "tensor": _to_tensor,
    "array": _to_array,
    "scalar": _to_scalar,
    "bool": lambda layout, data: bool(data[0]),
    "int": lambda layout, data: array("q", data.tobytes())[0],
    "float": lambda layout, data: array("d", data.tobytes())[0],
    "none": lambda layout, data: None,
    "str": lambda layout, data: data.tobytes().decode("utf-8", "surrogatepass"),
    "bytes": lambda layout, data: data.tobytes(),
    "list": lambda layout, data: _parts(layout[2], data),
    "tuple": lambda layout, data: tuple(_parts(layout[2], data)),
    "dict": lambda layout, data: dict(zip(*_parts(layout[2:4], data), strict=True)),
    "image": _to_image,
    **{
        f"{kind.__name__} of {item.__name__}": _numbers(code, kind)
        for kind in (list, tuple)
        for item, code in _LISTS.items()
    },
}
