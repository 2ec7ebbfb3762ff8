"""Tensors that a config writes out: ``{"tensor": [1, 3], "dtype": "float32"}``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torchassistant.config.tree import Path
from torchassistant.errors import near

_INTEGERS = {
    "uint8": (0, 2**8 - 1),
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_LARGEST = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float32": 3.4028234663852886e38,
    "float64": math.inf,
    "complex64": 3.4028234663852886e38,
    "complex128": math.inf,
}
DTYPES = (*_LARGEST, *_INTEGERS, "bool")

Misfit = tuple[str, Path]
"""What is wrong, and where it stands below the tensor."""


def dtype_of(value: dict[str, Any]) -> str | None:
    """The name of the dtype, as ``float32``; None where torch is to choose."""
    dtype = value.get("dtype")
    return dtype.removeprefix("torch.") if isinstance(dtype, str) else None


def misfits_of_tensor(value: dict[str, Any]) -> Iterator[Misfit]:
    """Everything for which torch could make no tensor, or one of other numbers.

    Args:
        value: Has ``tensor``, numbers in lists of lists, or a number, and may have ``dtype``.
    """
    dtype = dtype_of(value)
    if "dtype" in value and dtype not in DTYPES:
        found = value["dtype"]
        hint = near(dtype, DTYPES) if dtype is not None else ""
        shown = f'"{found}"' if isinstance(found, str) else repr(found)
        yield f"{shown} is not a dtype of torch{hint}", ("dtype",)
        dtype = None
    yield from _misfits(value["tensor"], _shape_of(value["tensor"]), dtype, ("tensor",))


def _shape_of(value: Any) -> list[int]:
    """The shape that the first element of each list tells."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _misfits(value: Any, shape: list[int], dtype: str | None, path: Path) -> Iterator[Misfit]:
    if not shape:
        message = _misfit_of_number(value, dtype)
        if message:
            yield message, path
    elif not isinstance(value, list) or len(value) != shape[0]:
        found = f"one of {len(value)}" if isinstance(value, list) else _shown(value)
        yield f"the rows of a tensor are alike: expected a list of {shape[0]}, found {found}", path
    else:
        for index, item in enumerate(value):
            yield from _misfits(item, shape[1:], dtype, (*path, index))


def _misfit_of_number(value: Any, dtype: str | None) -> str | None:
    if isinstance(value, list):
        return "the rows of a tensor are alike: expected a number, found a list"
    if not isinstance(value, (int, float)):
        return f"expected a number, found {_shown(value)}"
    if dtype in _INTEGERS or (dtype is None and isinstance(value, int)):
        low, high = _INTEGERS[dtype or "int64"]
        if value != value or value in (math.inf, -math.inf) or value != int(value):
            return f"{value} is not a whole number, as {dtype} needs it"
        return None if low <= value <= high else f"{value} does not fit {dtype or 'int64'}"
    if dtype == "bool":
        return None if value in (0, 1) else f"expected true or false, found {value}"
    is_too_large = dtype is not None and math.isfinite(value) and abs(value) > _LARGEST[dtype]
    return f"{value} does not fit {dtype}" if is_too_large else None


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else "null" if value is None else repr(value)
