"""What the columns of a dataset hold, from a look at some of its examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch

from torchassistant.data import as_columns

LOOKS = 200
"""So many examples are looked at: enough to tell labels from texts that are never repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of the examples of a dataset.

    Args:
        name: Its name in a data frame.
        kind: ``image``, ``text``, ``class``, ``number``, ``sequence``, ``tensor``, or what Python
            calls its values.
        values: Those that were looked at.
    """

    name: str
    kind: str
    values: Sequence[Any]


def columns_of(examples: Sequence[Any]) -> list[Column]:
    """The columns of some examples; those of a tuple are ``input_1``, ``input_2``, …"""
    if isinstance(examples[0], Mapping):
        return [_column(str(name), [e[name] for e in examples]) for name in examples[0]]
    rows = [as_columns(example) for example in examples]
    return [
        _column(f"input_{index}", values)
        for index, values in enumerate(zip(*rows, strict=True), start=1)
    ]


def looked_at(dataset: Any) -> list[Any]:
    """Some examples from all over a dataset."""
    count = len(dataset)
    step = max(1, count // LOOKS)
    first = [dataset[0]]
    # Only texts have to be seen in numbers; pictures may be dear to load.
    wanted = LOOKS if any(isinstance(value, str) for value in _values(first[0])) else 2
    return first + [dataset[index] for index in range(step, count, step)][: wanted - 1]


def _values(example: Any) -> Iterable[Any]:
    return example.values() if isinstance(example, Mapping) else as_columns(example)


def _column(name: str, values: Sequence[Any]) -> Column:
    return Column(name, _kind(values), values)


def _kind(values: Sequence[Any]) -> str:
    first = values[0]
    if isinstance(first, str):
        return "text"
    if isinstance(first, (bool, Integral)):
        return "class"
    if isinstance(first, Real):
        return "number"
    if _is_picture(first):
        return "image"
    if isinstance(first, (list, tuple)):
        return _kind_of_lists(values)
    if hasattr(first, "dtype") and hasattr(first, "ndim"):
        return _kind_of_array(values)
    return type(first).__name__


def _is_picture(value: Any) -> bool:
    """An image of PIL, or uint8 pixels."""
    if any(base.__module__.startswith("PIL.") for base in type(value).__mro__):
        return True
    is_bytes = str(getattr(value, "dtype", "")).removeprefix("torch.") == "uint8"
    return is_bytes and value.ndim in (2, 3)


def _kind_of_lists(values: Sequence[Any]) -> str:
    inner = {type(item) for value in values for item in value}
    if not all(issubclass(kind, Real) for kind in inner):
        return "list"
    same_length = len({len(value) for value in values}) == 1
    return "number" if same_length else "sequence"


def _kind_of_array(values: Sequence[Any]) -> str:
    first = torch.as_tensor(values[0])
    if first.is_complex():
        return "complex"
    if first.ndim == 0:
        return "number" if first.is_floating_point() else "class"
    if first.ndim == 1 and len({tuple(value.shape) for value in values}) > 1:
        return "sequence"
    return "number" if first.ndim == 1 else "tensor"
