"""Batches by turns: of several processes each loads every so manyth batch, and none twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch

from torchassistant.data.batch_sampler import Batch, ResumableBatchSampler


class TurnOf(NamedTuple):
    """Whose turn it is.

    Args:
        rank: The number of the process, from 0.
        size: How many take turns.
    """

    rank: int
    size: int


class TurnsBatchSampler(ResumableBatchSampler):
    """Of the batches of another sampler those whose turn it is, counted by themselves.

    Args:
        whole: Gives all batches.
        turn: Whose turn.
    """

    def __init__(self, whole: ResumableBatchSampler, turn: TurnOf) -> None:
        super().__init__(whole.count, whole.batch_size, whole.drop_last, whole.seed)
        self.whole = whole
        self.turn = turn

    def __len__(self) -> int:
        return len(range(self.turn.rank, len(self.whole), self.turn.size))

    def __iter__(self) -> Iterator[Batch]:
        return self._own(iter(self.whole))

    def tensors(self) -> Iterator[torch.Tensor]:
        """See :class:`ResumableBatchSampler`."""
        return self._own(self.whole.tensors())

    def _own(self, batches: Iterator[Any]) -> Iterator[Any]:
        return islice(batches, self.turn.rank, None, self.turn.size)

    def take_size(self, number: int) -> int:
        """See :class:`ResumableBatchSampler`."""
        return self.whole.take_size(self._place(number))

    def examples_of(self, number: int) -> list[Any] | None:
        """See :class:`ResumableBatchSampler`."""
        return self.whole.examples_of(self._place(number))

    def _place(self, number: int) -> int:
        return self.turn.rank + number * self.turn.size
