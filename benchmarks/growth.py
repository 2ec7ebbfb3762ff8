"""What a further part costs: the slope of the time over the number of parts."""

from __future__ import annotations

import statistics

from benchmarks.alternation import BARE, OURS, Rounds
from benchmarks.figures import Figure, Spread


def growth(
    what: str, against: str, measured: dict[int, Rounds], identical: bool, target: float | None
) -> list[Figure]:
    """What a further part costs over a loop by hand, and how straight the line is.

    Args:
        what: What was measured.
        against: What it is compared with.
        measured: Rounds against the side ``BARE``, by the number of parts.
        identical: Whether the weights were the same everywhere.
        target: The most that a part should cost over the loop, in µs.
    """
    ours, theirs = slopes(measured, OURS), slopes(measured, BARE)
    return [
        Figure(
            what=what,
            against=against,
            spread=Spread.of(a - b for a, b in zip(ours, theirs, strict=True)),
            unit="µs",
            ours=statistics.median(ours),
            theirs=statistics.median(theirs),
            sides="µs per iteration",
            at_most=target,
            identical=identical,
        ),
        Figure(
            what=f"{what}: r² of the line",
            against="1, a straight line",
            spread=Spread.of([straightness(measured)]),
            unit="",
        ),
    ]


def slopes(measured: dict[int, Rounds], side: str) -> list[float]:
    """Of the line through the i-th round of every count, in µs per iteration, for each i."""
    columns = zip(*(rounds.microseconds(side) for rounds in measured.values()), strict=True)
    return [statistics.linear_regression(list(measured), column).slope for column in columns]


def straightness(measured: dict[int, Rounds]) -> float:
    """r² of a straight line through the medians of ours."""
    medians = [statistics.median(rounds.microseconds(OURS)) for rounds in measured.values()]
    return statistics.correlation(list(measured), medians) ** 2
