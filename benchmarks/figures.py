"""What is measured: a figure with its spread, what it is compared with, and its target."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """The median and the quartiles of so many values."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of one value, all three are that value."""
        known = sorted(values)
        if len(known) == 1:
            return cls(known[0], known[0], known[0], 1)
        low, median, high = statistics.quantiles(known, n=4, method="inclusive")
        return cls(median, low, high, len(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Args:
        what: What was measured.
        against: What it is compared with.
        spread: The ratio, or the difference, over the pairs.
        unit: Of the spread; ``×`` for a ratio.
        ours: The median of our side.
        theirs: The median of the other side.
        sides: The unit of both.
        at_most: The target, where there is one.
        at_least: The target, where more is better.
        before: The spread that was kept of an earlier measurement on such a machine.
        identical: Whether both sides have trained the same weights, bit for bit; None where that
            was not asked.
    """

    what: str
    against: str
    spread: Spread
    unit: str = "×"
    ours: float | None = None
    theirs: float | None = None
    sides: str = ""
    at_most: float | None = None
    at_least: float | None = None
    identical: bool | None = None
    before: Spread | None = None

    @property
    def is_worse(self) -> bool:
        """Whether it got worse than it was by more than the noise: the quartiles are apart."""
        if self.before is None:
            return False
        if self.at_least is not None:
            return self.spread.high < self.before.low
        return self.spread.low > self.before.high

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is not None:
            return self.spread.median <= self.at_most
        return None if self.at_least is None else self.spread.median >= self.at_least

    def as_data(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Figure:
        """What :meth:`as_data` gave."""
        before = data.get("before")
        spreads = {"spread": Spread(**data["spread"]), "before": before and Spread(**before)}
        return cls(**{**data, **spreads})


def ratio(
    what: str, against: str, ours: Sequence[float], theirs: Sequence[float], **more: Any
) -> Figure:
    """The ratio of two sides, pair by pair.

    Args:
        what: What was measured.
        against: What it is compared with.
        ours: One value a pair.
        theirs: One value a pair.
        more: Further arguments of :class:`Figure`.
    """
    pairs = zip(ours, theirs, strict=True)
    return Figure(
        what=what,
        against=against,
        spread=Spread.of(one / other for one, other in pairs),
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        **more,
    )
