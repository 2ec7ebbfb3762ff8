"""All examples of a dataset, column by column, to cut examples and batches from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index as as_index
from typing import Any

import torch
from torch import Tensor

from torchassistant.collators import DefaultCollator, collate_column
from torchassistant.data.cache.values import (
    Bytes,
    Layout,
    Unstorable,
    decode,
    dtype_of,
    encode,
    truths,
    type_name,
)
from torchassistant.errors import DataError

Form = tuple[Any, ...]
"""What holds the columns of an example: ``("tuple", 2)``, ``("dict", "x", "y")``; ``("value",)``
where there is one column, and nothing that holds it."""

_collate = DefaultCollator()


def taken_apart(example: Any) -> tuple[Form, Sequence[Any]]:
    """The form and the columns of an example; anything but a tuple, list or dict is one column.

    Raises:
        Unstorable: It is a tuple or a mapping of another kind, or one with keys that are no texts.
    """
    if type(example) in (tuple, list):
        return (type(example).__name__, len(example)), example
    if type(example) is dict and all(type(key) is str for key in example):
        return ("dict", *example), list(example.values())
    if isinstance(example, (tuple, list, Mapping)):
        also = " whose keys are not texts" if type(example) is dict else ""
        raise Unstorable(f"an example of type {type_name(example)}{also}")
    return ("value",), (example,)


def form_text(form: Form) -> str:
    """A form for a person to read, with its article."""
    if form[0] == "value":
        return "no tuple, list or dict"
    if form[0] == "dict":
        return f"a dict of {', '.join(form[1:])}"
    return f"a {form[0]} of {form[1]} columns"


def put_together(form: Form, columns: list[Any]) -> Any:
    """The example that :func:`taken_apart` was given."""
    if form[0] == "dict":
        return dict(zip(form[1:], columns, strict=True))
    if form[0] == "value":
        return columns[0]
    return tuple(columns) if form[0] == "tuple" else columns


class Column:
    """One column: the bytes of its values, one after the other.

    Args:
        layouts: Every layout that occurs.
        data: uint8 (bytes,).
        codes: int32 (N,), the layout of each value; None where there is but one layout.
        offsets: int64 (N + 1,), where each value begins, and the end; None likewise.
    """

    def __init__(
        self,
        layouts: Sequence[Layout],
        data: Tensor,
        codes: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> None:
        self.layouts = tuple(layouts)
        self.data = data
        self.codes = codes
        self.offsets = offsets
        self.rows = _rows(self.layouts[0], data) if codes is None and layouts else None
        self.bytes: Bytes = data.numpy()

    def __reduce__(self) -> Any:
        return Column, (self.layouts, self.data, self.codes, self.offsets)

    @property
    def size(self) -> int:
        """Its bytes, with what it takes to find the values in them."""
        parts = (self.data, self.codes, self.offsets)
        return sum(part.nbytes for part in parts if part is not None)

    def holds(self, index: int, layout: Layout, data: bytes) -> bool:
        """Whether a value is stored, bit for bit, at a place."""
        stored, piece = self._piece(index)
        # Bytes are only asked for where there are as many.
        return stored == layout and piece.tobytes() == data

    def at(self, index: int) -> Any:
        """A value, with memory of its own."""
        return decode(*self._piece(index))

    def take(self, where: Tensor) -> Tensor | list[Any]:
        """What the default collator makes of some values.

        Args:
            where: int64 (B,), at least one, each from 0 to N - 1.
        """
        if self.rows is None:
            return collate_column([self.at(index) for index in where.tolist()])
        taken = self.rows.index_select(0, where)
        kind = self.layouts[0][0]
        if kind == "float":
            return taken.to(torch.get_default_dtype())
        return truths(taken.view(torch.uint8)) if taken.dtype is torch.bool else taken

    def _piece(self, index: int) -> tuple[Layout, Bytes]:
        if self.codes is None or self.offsets is None:
            layout = self.layouts[0]
            return layout, self.bytes[index * layout[1] : (index + 1) * layout[1]]
        start, end = self.offsets[index : index + 2].tolist()
        return self.layouts[self.codes[index]], self.bytes[start:end]


def _rows(layout: Layout, data: Tensor) -> Tensor | None:
    """The values as one tensor (N, …), where that is what stacking some of them gives."""
    known = dtype_of(layout)
    if known is None or not layout[1]:
        return None
    dtype, shape = known
    rows = data.view(dtype).view(-1, *shape)
    if layout[0] == "tensor" and layout[4] is not None:
        first = decode(layout, data[: layout[1]].numpy())
        stacked = collate_column([first, first])
        if stacked.stride() != torch.empty(2, *shape).stride():  # type: ignore[union-attr]
            return None
    return rows


class Table:
    """All examples, column by column.

    Args:
        form: What holds the columns of an example.
        columns: In the order of an example.
        count: The number of examples.
    """

    def __init__(self, form: Form, columns: Sequence[Column], count: int) -> None:
        self.form = form
        self.columns = list(columns)
        self.count = count

    def __len__(self) -> int:
        return self.count

    @property
    def size(self) -> int:
        """The bytes of all columns, with what it takes to find the values in them."""
        return sum(column.size for column in self.columns)

    def __getitem__(self, index: int) -> Any:
        index = self._inside(index)
        return put_together(self.form, [column.at(index) for column in self.columns])

    def batch(self, indices: Sequence[int]) -> list[Any] | dict[Any, Any]:
        """What the default collator makes of some examples.

        Raises:
            DataError: They cannot be collated.
        """
        return self.rows(self._all_inside(indices)) if indices else _collate([])

    def rows(self, where: Tensor) -> list[Any] | dict[Any, Any]:
        """The same.

        Args:
            where: int64 (B,), each from 0 to N - 1.
        """
        if not len(where) or self.form == ("tuple", 0) or self.form == ("list", 0):
            return self._collated(where)
        try:
            columns = [column.take(where) for column in self.columns]
        except DataError:
            return self._collated(where)  # once more, slower: the collator names the column
        return dict(zip(self.form[1:], columns, strict=True)) if self.form[0] == "dict" else columns

    def _collated(self, where: Tensor) -> list[Any] | dict[Any, Any]:
        return _collate([self[index] for index in where.tolist()])

    def holds(self, index: int, example: Any) -> bool:
        """Whether an example is stored, bit for bit, at a place."""
        try:
            form, values = taken_apart(example)
            given = [encode(value) for value in values]
        except Unstorable:
            return False
        if form != self.form:
            return False
        pairs = zip(self.columns, given, strict=True)
        return all(column.holds(index, *value) for column, value in pairs)

    def _all_inside(self, indices: Sequence[int]) -> Tensor:
        """The same indices from 0 on, int64 (B,)."""
        where = torch.tensor(indices)
        lowest, highest = (int(end) for end in where.aminmax())
        if lowest < 0 or highest >= self.count:
            return torch.tensor([self._inside(index) for index in indices])
        return where

    def _inside(self, index: int) -> int:
        place = as_index(index)
        place += self.count if place < 0 else 0
        if not 0 <= place < self.count:
            raise IndexError(f"index {index} is outside of {self.count} examples")
        return place
