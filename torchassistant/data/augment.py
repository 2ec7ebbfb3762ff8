"""Random transforms of training data, around the collator: of examples before it, of batches after.

They run where the collator runs: in the main process with the generators of the run, in a worker
with seeds of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torchassistant.errors import DataError, UserCodeError, UserError

On = Literal["examples", "batches"]


class Augment:
    """A transform of some columns.

    Args:
        transform: Called with the values of the columns, in their order; gives back as many, one as
            itself and several as a tuple or list.
        on: Whether it gets the values of one example, or the columns of a batch.
        columns: The positions of the columns, from 0.
        what: What it is called in messages.
    """

    def __init__(
        self, transform: Callable[..., Any], on: On, columns: Sequence[int], what: str
    ) -> None:
        self.transform = transform
        self.on = on
        self.columns = tuple(columns)
        self._last = max(self.columns)
        self.what = what

    def __call__(self, row: Any) -> Any:
        """An example, or a batch, with other values in the columns.

        Raises:
            DataError: It has no such columns, or the transform gives another number of values.
            UserCodeError: The transform raised.
        """
        values = list(row) if isinstance(row, (tuple, list)) else [row]
        if isinstance(row, Mapping) or self._last >= len(values):
            raise self._lacks_columns(row, len(values))
        try:
            given = self.transform(*(values[column] for column in self.columns))
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError(self.what) from error
        for column, value in zip(self.columns, self._several(given), strict=True):
            values[column] = value
        if isinstance(row, (tuple, list)):
            return tuple(values) if isinstance(row, tuple) else values
        return values[0]

    def _several(self, given: Any) -> Sequence[Any]:
        if len(self.columns) == 1:
            return (given,)
        if not isinstance(given, (tuple, list)) or len(given) != len(self.columns):
            found = f"{len(given)}" if isinstance(given, (tuple, list)) else type(given).__name__
            raise DataError(
                f"{self.what} gets {len(self.columns)} columns and must give back as many, as a "
                f"tuple or list; it gave {found}"
            )
        return given

    def _lacks_columns(self, row: Any, count: int) -> DataError:
        there = "names and no positions" if isinstance(row, Mapping) else f"{count} columns"
        return DataError(
            f"{self.what} is for the columns {list(self.columns)} (counted from 0), and the "
            f"{self.on} have {there}"
        )


class Augmented:
    """A collator with the transforms around it.

    Args:
        collator: Examples → batch.
        augments: In the order in which they are called.
    """

    def __init__(self, collator: Callable[[Any], Any], augments: Sequence[Augment]) -> None:
        self.collator = collator
        self.augments = tuple(augments)
        self._on_examples = [one for one in augments if one.on == "examples"]
        self._on_batches = [one for one in augments if one.on == "batches"]

    def __call__(self, examples: Any) -> Any:
        """The batch of some examples."""
        if self._on_examples:
            examples = [_through(self._on_examples, example) for example in examples]
        return _through(self._on_batches, self.collator(examples))


def _through(augments: Sequence[Augment], row: Any) -> Any:
    for augment in augments:
        row = augment(row)
    return row
