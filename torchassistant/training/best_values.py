"""Which values of a row are the best so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from torchassistant.training.better import Mode
from torchassistant.training.progress import Row


class BestValues:
    """Knows the best value of some columns.

    Args:
        modes: What is better of each.
        rows: Those that there are already.
    """

    def __init__(self, modes: Mapping[str, Mode] | None = None, rows: Iterable[Row] = ()) -> None:
        self.modes = dict(modes or {})
        self._best: dict[str, float] = {}
        for row in rows:
            self.note(row)

    def note(self, row: Row) -> set[str]:
        """Note a row; gives the columns that were never better, and not as good."""
        found = set()
        for column, mode in self.modes.items():
            value = row.get(column)
            if value is None or math.isnan(value):
                continue
            rank = value if mode == "min" else -value
            if rank < self._best.get(column, math.inf):
                self._best[column] = rank
                found.add(column)
        return found
