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

from torchassistant.errors import DataError

Layout = tuple[Any, ...]
"""``(kind, bytes, …)``: numbers, texts, None, and tuples of those."""

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_LONGEST = 2**63
_LISTS: dict[type, str] = {bool: "B", int: "q", float: "d"}
"""Types of which a list is stored as an array, by the code of the array."""

DTYPES = {
    str(item): item
    for item in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.uint16, torch.uint32, torch.uint64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.complex32, torch.complex64, torch.complex128),
        *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
        torch.float8_e8m0fnu,
    )
}
"""Of tensors, by their names."""
PIXEL_BYTES = {
    **dict.fromkeys(("1", "L"), 1),
    **dict.fromkeys(("LA", "I;16"), 2),
    **dict.fromkeys(("RGB", "YCbCr", "HSV", "LAB"), 3),
    **dict.fromkeys(("RGBA", "RGBX", "CMYK", "I", "F"), 4),
}
"""Of the images of PIL those modes that their pixels say all of; "1" has eight pixels in a byte."""
ITEM_BYTES = {
    f"{kind.__name__} of {item.__name__}": array(code).itemsize
    for kind in (list, tuple)
    for item, code in _LISTS.items()
}
"""Of lists that are stored as an array, by their kind."""


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
    """The value again, with memory of its own.

    Raises:
        DataError: There is a text in it that is none, as no value had it that was encoded.
    """
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
        return DTYPES[layout[2]], layout[3]
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
    if name not in DTYPES:
        raise Unstorable(f"a tensor of {name}")
    if value.requires_grad:
        raise Unstorable("a tensor that requires gradients")
    # Gaps and repetitions are not kept; the order of the dimensions in memory is.
    strides = None if value.is_contiguous() else torch.empty_like(value).stride()
    flat = value.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return ("tensor", len(flat), name, tuple(value.shape), strides), flat.numpy().tobytes()


def _to_tensor(layout: Layout, data: Bytes) -> torch.Tensor:
    _, _, dtype, shape, strides = layout
    if not len(data):
        value = torch.empty(shape, dtype=DTYPES[dtype])
    elif dtype == "torch.bool":
        value = truths(torch.from_numpy(data)).view(shape)
    else:
        value = torch.from_numpy(data).clone().view(DTYPES[dtype]).view(shape)
    if strides is None:
        return value
    return torch.empty_strided(shape, strides, dtype=value.dtype).copy_(value)


def truths(data: torch.Tensor) -> torch.Tensor:
    """Bytes of truth values, uint8, as bool: a byte that is neither 0 nor 1 would be no such value.

    What computes with it may rely on that, and write beyond its memory.
    """
    return data.ne(0)


def _array(value: np.ndarray[Any, Any]) -> tuple[Layout, bytes]:
    if value.dtype.kind not in "biufcmMSU" or not value.dtype.itemsize:
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
    ordered = shape if order is None else tuple(shape[d] for d in order)
    stored = np.ndarray(ordered, dtype, data.tobytes()).copy()
    if stored.dtype.kind == "b":
        stored = np.asarray(stored.view(np.uint8) != 0)
    elif stored.dtype.kind == "U" and _largest_character(stored) > sys.maxunicode:
        raise _no_text()
    return stored if order is None else stored.transpose(np.argsort(order))


def _largest_character(texts: np.ndarray[Any, Any]) -> int:
    order = texts.dtype.str[0]
    return int(texts.reshape(-1).view(f"{order}u4").max(initial=0))


def _to_scalar(layout: Layout, data: Bytes) -> Any:
    return _to_array((*layout, (), None), data)[()]


# What Python has


def _int(value: int) -> tuple[Layout, bytes]:
    if not -_LONGEST <= value < _LONGEST:
        raise Unstorable("an integer beyond 64 bits")
    return ("int", 8), array("q", (value,)).tobytes()


def _str(value: str) -> tuple[Layout, bytes]:
    data = value.encode("utf-8", "surrogatepass")
    return ("str", len(data)), data


def _to_str(layout: Layout, data: Bytes) -> str:
    try:
        return data.tobytes().decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise _no_text() from None


def _no_text() -> DataError:
    return DataError(
        "a cache contains an invalid text, so this program did not write it; the cache folder may "
        "be deleted at any time"
    )


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
    if value.mode not in PIXEL_BYTES or "transparency" in value.info:
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
    "str": _to_str,
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
