"""Data frames: named batches, and how several become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch

from torchassistant.errors import DataError, listing

Frame = dict[str, Any]
"""A named batch: each column is a tensor (B, …) or a list of B values."""

Frames = dict[str, Frame]
"""Frames by the name of the port or processor that they come from."""


def merge(frames: Sequence[Frame], sources: Sequence[str], into: str) -> Frame:
    """The frame that a processor gets from several edges.

    Frames with the same columns are concatenated along the batch axis, in the order of the
    edges; frames without a common column are united. Tensors stay on their device.

    Args:
        frames: One frame an edge.
        sources: The names of the ports or processors that the frames come from.
        into: The processor that gets the frame.

    Raises:
        DataError: The frames share some columns, but not all; or columns cannot be concatenated.
    """
    first = frames[0]
    if all(frame.keys() == first.keys() for frame in frames[1:]):
        return {name: _concatenated([f[name] for f in frames], name, into) for name in first}
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
    return united


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


def rows_of(frame: Frame, columns: Iterable[str]) -> int:
    """The number of samples in a frame: the rows of the first column that has a batch axis.

    Args:
        frame: The frame.
        columns: The columns to look at first; where none of them has a batch axis, all are.
    """
    for name in chain(columns, frame):
        column = frame[name]
        if isinstance(column, torch.Tensor):
            if column.ndim:
                return int(column.shape[0])
        elif isinstance(column, (list, tuple)):
            return len(column)
    return 1
