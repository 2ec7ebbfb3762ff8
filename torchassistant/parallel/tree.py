"""Sums in one fixed order, whoever holds the summands: so they have the same bits everywhere.

The order is that of a tournament: neighbours are added, then the sums of neighbours, and so on; who
has no neighbour goes on as he is. A process that holds a power of two of neighbours, the first of
which is a multiple of it, may add them up before it sends anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

Summands = list[Tensor]
"""Tensors that are added each to its own kind."""


class Tree:
    """Adds up what it is given, in order; keeps as few tensors as it can.

    What it is given is its own afterwards: it is added to in place.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, Summands]] = []

    def add(self, summands: Summands) -> None:
        """The next ones."""
        size = 1
        while self._sums and self._sums[-1][0] == size:
            _, first = self._sums.pop()
            summands = _added(first, summands)
            size *= 2
        self._sums.append((size, summands))

    def total(self) -> Summands:
        """The sum of all; there is one at least."""
        _, total = self._sums.pop()
        while self._sums:
            total = _added(self._sums.pop()[1], total)
        return total


def _added(one: Summands, other: Sequence[Tensor]) -> Summands:
    for mine, theirs in zip(one, other, strict=True):
        mine += theirs
    return one


def block_of(count: int) -> int:
    """The largest power of two that divides a count: so many neighbours may be added beforehand."""
    return count & -count
