"""Data frames: named batches, how many examples they hold, and how several become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from torchassistant.errors import DataError, listing

Frame = dict[str, Any]
"""A named batch: each column is a tensor (B, …) or a list of B values."""


class Frames(dict[str, Frame]):
    """Frames by the name of the port or processor that they come from.

    Args:
        frames: A frame for each port.
        counts: The number of examples in each of them.

    Attributes:
        counts: The same, and that of each processor that several frames lead into, once it has run.
            A processor that one frame leads into has as many as that: no model or adapter changes
            how many examples a batch was made from, whatever it makes of its columns.
        carried: What is carried from the batch before, by processor, and then to the next one; only
            there where somebody has set it.
        is_guessed: Whether a count is that of the rows of a column, because nobody has said another
            one; only there where it is true.
    """

    __slots__ = ("carried", "counts", "is_guessed")
    carried: dict[str, Any]
    is_guessed: bool

    def __init__(
        self, frames: Mapping[str, Frame] | None = None, counts: Mapping[str, int] | None = None
    ) -> None:
        super().__init__({} if frames is None else frames)
        self.counts = {} if counts is None else dict(counts)


def merge(
    frames: Sequence[Frame], counts: Sequence[int], sources: Sequence[str], into: str
) -> tuple[Frame, int]:
    """The frame that a processor gets from several edges, and the number of examples in it.

    Frames with the same columns are concatenated along the batch axis, in the order of the
    edges; frames without a common column are united. Tensors stay on their device.

    Args:
        frames: One frame an edge.
        counts: The number of examples in each.
        sources: The names of the ports or processors that the frames come from.
        into: The processor that gets the frame.

    Raises:
        DataError: The frames share some columns, but not all; or columns cannot be concatenated; or
            frames that are united are of different numbers of examples.
    """
    first = frames[0]
    if all(frame.keys() == first.keys() for frame in frames[1:]):
        joined = {name: _concatenated([f[name] for f in frames], name, into) for name in first}
        return joined, sum(counts)
    united: Frame = {}
    for frame, source in zip(frames, sources, strict=True):
        shared = sorted(united.keys() & frame.keys())
        if shared:
            raise DataError(
                f'the frames that lead into "{into}" share the columns {listing(shared)}, but not '
                f'all ("{source}" has {listing(sorted(frame))}); they must be all the same, to be '
                "concatenated, or all different, to be united",
                about=(into,),
            )
        united.update(frame)
    for source, count in zip(sources, counts, strict=True):
        if count != counts[0]:
            raise DataError(
                f'the frames that lead into "{into}" are to be united, and are of {counts[0]} '
                f'examples ("{sources[0]}") and of {count} ("{source}"); let a processor for each '
                'take them, or make batches equal ("drop_last" leaves out a smaller last one)',
                about=(into,),
            )
    return united, counts[0]


def _concatenated(columns: list[Any], name: str, into: str) -> Any:
    if all(isinstance(column, torch.Tensor) for column in columns):
        try:
            return torch.cat(columns)
        except RuntimeError as error:
            shapes = " and ".join(str(tuple(column.shape)) for column in columns)
            reason = str(error).splitlines()[0]
            raise DataError(
                f'the column "{name}" of the frames that lead into "{into}" cannot be '
                f"concatenated: shapes {shapes} ({reason})",
                about=(into,),
            ) from None
    if all(isinstance(column, (list, tuple)) for column in columns):
        return [value for column in columns for value in column]
    kinds = " and ".join(type(column).__name__ for column in columns)
    raise DataError(
        f'the column "{name}" of the frames that lead into "{into}" cannot be concatenated: '
        f"{kinds}",
        about=(into,),
    )


def rows_of(frame: Frame) -> int:
    """The rows of the first column that has a batch axis; 1 where none has.

    For batches of which nobody knows how many examples they were made from.
    """
    for column in frame.values():
        if isinstance(column, torch.Tensor):
            if column.ndim:
                return int(column.shape[0])
        elif isinstance(column, (list, tuple)):
            return len(column)
    return 1


def examples_left(frame: Frame, given: int) -> int:
    """How many of the examples that a collator was given are in the batch that it made.

    A collator may leave some out, broken ones as it may be. Then all columns have the same number
    of rows, and that is smaller. Nothing was left out where every column has the size of a whole
    batch in another place: on another axis, or in each tensor of a list, as a pyramid of maps; nor
    where the examples were joined to one long row, (1, T) in every column.

    Args:
        frame: The batch.
        given: The number of examples that the collator was given.
    """
    columns = [c for c in frame.values() if _rows_in(c) is not None]
    rows = {_rows_in(column) for column in columns}
    if len(rows) != 1 or all(_is_whole_inside(column, given) for column in columns):
        return given
    if rows == {1} and len(columns) > 1:
        lengths = {c.shape[1] if _is_matrix(c) else None for c in columns}
        if len(lengths) == 1 and None not in lengths:
            return given
    return min(given, rows.pop() or 0)


def _rows_in(column: Any) -> int | None:
    """The length of the first axis; None where there is none, or where it is no batch axis."""
    if isinstance(column, torch.Tensor):
        return column.shape[0] if column.ndim else None
    return len(column) if type(column) in (list, tuple) else None


def _is_whole_inside(column: Any, given: int) -> bool:
    if isinstance(column, torch.Tensor):
        return given in column.shape[1:]
    return bool(column) and all(isinstance(c, torch.Tensor) and given in c.shape for c in column)


def _is_matrix(column: Any) -> bool:
    return isinstance(column, torch.Tensor) and column.ndim > 1
