"""Examples become columns: each value once, to where the bytes of its column go."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from torchassistant.data.cache.table import Form, form_text, taken_apart
from torchassistant.data.cache.values import Layout, Unstorable, encode


class Sink(Protocol):
    """Takes the bytes of a column, one value after the other."""

    def write(self, data: bytes) -> object:
        """Add the bytes of a value."""


class ColumnWriter:
    """Gathers what a column is made of; the bytes go to a sink."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.known: dict[Layout, int] = {}
        self._codes = array("i")
        self._offsets = array("q", (0,))

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Every layout that occurred."""
        return tuple(self.known)

    @property
    def size(self) -> int:
        """The bytes so far."""
        return self._offsets[-1]

    def add(self, value: Any) -> None:
        """Add a value.

        Raises:
            Unstorable: It is of a kind that is not stored.
        """
        layout, data = encode(value)
        self._codes.append(self.known.setdefault(layout, len(self.known)))
        self._offsets.append(self._offsets[-1] + layout[1])
        self.sink.write(data)

    def cuts(self) -> tuple[Tensor, Tensor] | None:
        """Codes and offsets of a :class:`Column`, where it needs them."""
        if len(self.known) == 1:
            return None
        return torch.tensor(self._codes, dtype=torch.int32), torch.tensor(self._offsets)


class TableWriter:
    """Takes examples apart, and gives each value to the writer of its column."""

    def __init__(self, sink_of: Callable[[int], Sink]) -> None:
        self.sink_of = sink_of
        self.form: Form = ()
        self.columns: list[ColumnWriter] = []
        self.count = 0

    @property
    def size(self) -> int:
        """The bytes of all columns so far, with what it takes to find the values in them."""
        found = [12 * self.count + 8 if len(c.known) > 1 else 0 for c in self.columns]
        return sum(column.size for column in self.columns) + sum(found)

    def add(self, example: Any) -> None:
        """Add an example.

        Raises:
            Unstorable: A value in it is of a kind that is not stored; it is named.
        """
        form, values = taken_apart(example)
        if not self.count:
            self.form = form
            self.columns = [ColumnWriter(self.sink_of(number)) for number in range(len(values))]
        elif form != self.form:
            found = f"example {self.count} is {form_text(form)}"
            raise Unstorable(f"{found}, and the first {form_text(self.form)}")
        for number, (column, value) in enumerate(zip(self.columns, values, strict=True)):
            try:
                column.add(value)
            except Unstorable as error:
                name = f'"{form[number + 1]}"' if form[0] == "dict" else number
                raise Unstorable(f"in column {name} {error} (example {self.count})") from None
        self.count += 1
