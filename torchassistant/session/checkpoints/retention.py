"""Which checkpoints stay: the last ones, and the best."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torchassistant.config import CheckpointsSpec
from torchassistant.session.checkpoints.storage import CheckpointStorage, order_of
from torchassistant.training import Row


@dataclass(frozen=True, slots=True)
class Best:
    """Which checkpoints stay for how good they are.

    Args:
        monitor: A column of the history.
        mode: ``min`` or ``max``.
        keep: How many.
        weights_only: Whether the weights of the best one are kept as files of their own too.
    """

    monitor: str
    mode: str
    keep: int
    weights_only: bool = False

    def rank(self, scores: Mapping[str, float | None]) -> float:
        """The smaller, the better; infinite for what has no score."""
        value = scores.get(self.monitor)
        if value is None or math.isnan(value):
            return math.inf
        return value if self.mode == "min" else -value

    def among(self, scores: Mapping[str, Mapping[str, float]]) -> list[str]:
        """The names of the best, the best first; of equal ones the earlier."""
        ranked = [n for n in sorted(scores, key=order_of) if self.rank(scores[n]) < math.inf]
        return sorted(ranked, key=lambda name: self.rank(scores[name]))[: self.keep]


class BestRanks:
    """How good the best states so far are, by one monitor.

    Args:
        best: Which states stay by it.
        scores: Of the states so far.
    """

    def __init__(self, best: Best, scores: Iterable[Mapping[str, float | None]] = ()) -> None:
        self.best = best
        self._ranks: list[float] = []
        for one in scores:
            self.add(one)

    def add(self, scores: Mapping[str, float | None]) -> None:
        """There is a further state; what has no score counts for nothing."""
        rank = self.best.rank(scores)
        if rank < math.inf:
            insort(self._ranks, rank)
            del self._ranks[self.best.keep :]

    def would_take(self, scores: Mapping[str, float | None]) -> bool:
        """Whether a further state would be among the best; of equal ones the earlier are."""
        rank = self.best.rank(scores)
        return rank < math.inf and bisect_right(self._ranks, rank) < self.best.keep

    def keep(self, scores: Mapping[str, float | None]) -> bool:
        """Whether a state that was added may still be among the best."""
        rank = self.best.rank(scores)
        return rank < math.inf and bisect_left(self._ranks, rank) < self.best.keep


def bests_of(spec: CheckpointsSpec) -> list[Best]:
    """Which ones a config lets stay for how good they are, by each monitor."""
    return [
        Best(best.monitor, best.mode or "min", best.keep, best.weights_only) for best in spec.bests
    ]


class Sought(NamedTuple):
    """A state from which a later stage starts.

    Args:
        row: Its row of the history.
        until: The step at which that stage begins; infinite where nobody knows that yet.
    """

    row: Row
    until: float


def scores_of(row: Row) -> dict[str, float]:
    """What a state is ranked by: the finite values of a row, other than its seconds."""
    values = {name: v for name, v in row.items() if v is not None and name != "seconds"}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def stored_with(row: Row, storage: CheckpointStorage) -> str | None:
    """The name of the checkpoint that was saved with a row of the history; None: there is none."""
    scores = scores_of(row)
    for name in reversed(storage.names()):
        if order_of(name)[0] == row["step"]:
            stored = storage.scores(name)
            if all(stored.get(column) == value for column, value in scores.items()):
                return name
    return None


def prune(
    storage: CheckpointStorage,
    newest: str,
    keep_last: int,
    bests: Sequence[Best],
    sought: Sequence[Sought] = (),
) -> None:
    """Remove what need not stay, among those up to the newest; and what a dead process left.

    Args:
        storage: Holds them.
        newest: The one that was saved just now. What seems to be newer is damaged, or of a run that
            is gone on from before it.
        keep_last: How many of the last ones stay.
        bests: Which ones stay beside those, by each monitor.
        sought: States that stay while the run may go on from before the stage that wants them.
    """
    names = [name for name in storage.names() if order_of(name) <= order_of(newest)]
    # Of several states at one step the latest.
    standing = list({order_of(name)[0]: name for name in names}.values())
    staying: set[str | None] = set(standing[-keep_last:])
    scores = {name: storage.scores(name) for name in standing} if bests else {}
    for best in bests:
        staying |= set(best.among(scores))
    oldest = order_of(standing[-keep_last:][0])[0]
    staying |= {stored_with(row, storage) for row, until in sought if oldest <= until}
    for name in names:
        if name not in staying:
            storage.remove(name)
    storage.clear_unfinished()
