"""The one example that is not like the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from torchassistant.errors import with_article

_MOST_ELEMENTS = 100
_MOST_TYPES, _MOST_SHAPES = 0.5, 0.8
"""What part of the examples has to be alike for another to be a mismatch: in type, and in the rest.
Sizes differ in many data sets, and nobody is to blame for that."""

Key = tuple[Any, ...]


class Kind(NamedTuple):
    """What a value is, from the coarse to the fine; empty where there is nothing to say.

    Two values are compared by the first part in which others agree.
    """

    type: str
    dtype: str = ""
    rank: str = ""
    shape: str = ""


class Mismatch(NamedTuple):
    """An example that is not like the others.

    Args:
        row: Its place among the examples.
        text: How it differs, as ``has None in column 1, where the others have numbers``.
        stacks: Whether what the others have there is stacked to a tensor.
        is_alone: Whether nothing of its kind was seen elsewhere.
    """

    row: int
    text: str
    stacks: bool
    is_alone: bool


def find_mismatch(
    examples: Sequence[Any],
    others: Sequence[Any] = (),
    names: Sequence[str] | None = None,
    column: int | None = None,
) -> Mismatch | None:
    """The first of some examples that differs from most of all that are known.

    Args:
        examples: Those that did not fit.
        others: More of the same data.
        names: The names of the columns; of examples that are dicts, the keys that count.
        column: The only one that counts; None is all.

    Returns:
        None where all are alike, or too different for one to stand out, or where there is none.
    """
    if len(examples) == 0:
        return None  # a part of a batch may be empty
    everything = [*examples, *others]
    forms = [_form(example) for example in everything]
    usual = _usual(forms, _MOST_TYPES)
    if usual is None:
        return None
    for row, form in enumerate(forms[: len(examples)]):
        if form != usual:
            text = _form_text(form, usual)
            return Mismatch(row, text, stacks=True, is_alone=form not in forms[len(examples) :])
    columns = [
        dict(_columns(example))
        for example, form in zip(everything, forms, strict=True)
        if form == usual
    ]
    found = (
        _mismatch_in_column(key, [_kind(row.get(key)) for row in columns], len(examples), names)
        for key in columns[0]
        if (usual[0] != "keys" or names is None or key[0] in names)
        and (column is None or key[0] == column)
    )
    return min(filter(None, found), key=lambda mismatch: mismatch.row, default=None)


def _usual(values: Sequence[Any], most: float) -> Any:
    """The value that most have; None where there is none, or where most have nothing."""
    counted = Counter(value for value in values if value != _NOTHING)
    if counted.total() < len(values) / 2:
        return None
    value, count = counted.most_common(1)[0]
    return value if count > most * counted.total() else None


# What holds the columns

_NOTHING: Key = ("nothing",)


def _form(example: Any) -> Key:
    if example is None:
        return _NOTHING
    if isinstance(example, Mapping):
        return ("keys", frozenset(example))
    if isinstance(example, (tuple, list)):
        return ("columns", len(example))
    return ("value",)


def _form_text(form: Key, usual: Key) -> str:
    if form == _NOTHING:
        return f"is None, where the others {_form_of_others(usual)}"
    if form[0] == usual[0] == "keys":
        lacking, more = sorted(map(str, usual[1] - form[1])), sorted(map(str, form[1] - usual[1]))
        if lacking:
            return f'lacks the key "{lacking[0]}", which the others have'
        return f'has the key "{more[0]}", which the others lack'
    return f"{_form_of_others(form, 'has')}, where the others {_form_of_others(usual)}"


def _form_of_others(form: Key, have: str = "have") -> str:
    if form[0] == "columns":
        return f"{have} {form[1]} column{'s' if form[1] != 1 else ''}"
    if form[0] == "keys":
        return f"{have} the keys {', '.join(sorted(map(str, form[1])))}"
    return f"{have} one value"


def _columns(example: Any) -> Iterator[tuple[Key, Any]]:
    """The values of an example by their key; what stands in a dict in it, one by one."""
    if isinstance(example, (tuple, list)):
        items: Any = enumerate(example)
    else:
        items = example.items() if isinstance(example, Mapping) else [(0, example)]
    for key, value in items:
        yield from _inside((key,), value)


def _inside(key: Key, value: Any) -> Iterator[tuple[Key, Any]]:
    yield key, value
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _inside((*key, name), item)


# One column


def _mismatch_in_column(
    key: Key, kinds: Sequence[Kind], count: int, names: Sequence[str] | None
) -> Mismatch | None:
    alike = list(range(len(kinds)))
    for depth in range(1, len(Kind._fields) + 1):
        seen = [_NOTHING if kinds[i] == _NONE else kinds[i][:depth] for i in alike]
        usual = _usual(seen, _MOST_TYPES if depth == 1 else _MOST_SHAPES)
        if usual is None:
            return None
        mismatch = next(
            (i for i, kind in zip(alike, seen, strict=True) if kind != usual and i < count), None
        )
        alike = [i for i, kind in zip(alike, seen, strict=True) if kind == usual]
        if mismatch is None:
            continue
        usually = _common([kinds[i] for i in alike])
        text = f"has {_text(kinds[mismatch])} in {_where(key, names)}, where the others have "
        rest = [kind for kind in kinds[count:] if kind[:depth] == kinds[mismatch][:depth]]
        stacks = usual[0] in ("tensor", "array", "number")
        return Mismatch(mismatch, text + _text(usually, several=True), stacks, is_alone=not rest)
    return None


def _where(key: Key, names: Sequence[str] | None) -> str:
    column, *inner = key
    if isinstance(column, int):
        named = names is not None and column < len(names)
        where = f'column {column} ("{names[column]}")' if named and names else f"column {column}"
    else:
        where = f'"{column}"'
    return where + "".join(f'["{part}"]' for part in inner)


_NONE = Kind("None")


def _kind(value: Any) -> Kind:
    if value is None:
        return _NONE
    if isinstance(value, (Tensor, np.ndarray)):
        name = "tensor" if isinstance(value, Tensor) else "array"
        dtype = str(value.dtype).removeprefix("torch.")
        return Kind(name, dtype, f"{value.ndim}", str(tuple(value.shape)))
    if isinstance(value, (bool, np.bool)):
        return Kind("number", "bool")
    if isinstance(value, (int, np.integer)):
        return Kind("number", "int")
    if isinstance(value, (float, np.floating)):
        return Kind("number", "float")
    if isinstance(value, str):
        return Kind("text")
    if isinstance(value, Mapping):
        return Kind("dict", ", ".join(sorted(map(str, value))))
    if isinstance(value, (list, tuple)):
        inner = {f"{_kind(item).type}s" for item in value[:_MOST_ELEMENTS]} or {"numbers"}
        return Kind(type(value).__name__, " and ".join(sorted(inner)))
    return _of_image(value) or Kind(type(value).__qualname__)


def _of_image(value: Any) -> Kind | None:
    """The kind of an image of PIL: mode and size stand for dtype and shape."""
    if not type(value).__module__.startswith("PIL."):
        return None
    return Kind("image", str(getattr(value, "mode", "")), "", str(getattr(value, "size", "")))


def _common(kinds: Sequence[Kind]) -> Kind:
    """What some kinds have in common."""
    parts: list[str] = []
    for values in zip(*kinds, strict=True):
        if len(set(values)) > 1:
            break
        parts.append(values[0])
    return Kind(*parts)


def _text(kind: Kind, several: bool = False) -> str:
    if kind == _NONE:
        return "None"
    s, a = ("s", "") if several else ("", "a ")
    if kind.type in ("tensor", "array"):
        an = a if kind.dtype[:1] not in ("i", "") else a and "an "
        shape = f" of shape {kind.shape}" if kind.shape else ""
        many = f" of {kind.rank} dimensions" if kind.rank and not kind.shape else ""
        if not kind.dtype:
            return f"{'an ' if kind.type == 'array' and a else a}{kind.type}{s}"
        return f"{an}{kind.dtype} {kind.type}{s}{shape}{many}"
    if kind.type == "number":
        name = kind.dtype or "number"
        return f"{'an ' if a and name == 'int' else a}{name}{s}"
    if kind.type == "image":
        mode = f" of mode {kind.dtype}" if kind.dtype else ""
        size = f" of size {kind.shape}" if kind.shape else ""
        return f"{a and 'an '}image{s}{mode}{' and' if mode and size else ''}{size}"
    if kind.type in ("list", "tuple"):
        return f"{a}{kind.type}{s} of {kind.dtype}" if kind.dtype else f"{a}{kind.type}{s}"
    if kind.type == "dict":
        return f"{a}dict{s} of {kind.dtype}" if kind.dtype else f"{a}dict{s}"
    if kind.type == "bytes":
        return "bytes"
    return f"{kind.type}s" if several else with_article(kind.type)
