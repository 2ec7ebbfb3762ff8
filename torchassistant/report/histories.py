"""The rows of a history as columns, each row with its place on the axes of a chart."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from math import isfinite, nan
from pathlib import Path

from torchassistant.overview import Row, rows_in, rows_of

Column = list[float | None]

STAGE, EPOCH, STEP, SECONDS, CLOCK = "stage", "epoch", "step", "seconds", "time"
NO_VALUES = (STAGE, EPOCH, STEP, SECONDS, CLOCK)
"""Columns that say where a row is, and are no results."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of all stages, column by column.

    Args:
        stages: Of each row, the index of its stage.
        epochs: Where each row is, in epochs over all stages; within one, a fraction.
        steps: Iterations over all stages.
        elapsed: Seconds of training up to each row, without what passed between two runs.
        clock: When each row was added, in seconds since 1970; None where nobody wrote it down.
        phases: The seconds since the row before, by phase of the training; None likewise.
        values: The results, by column; None where a cell is empty.
    """

    stages: list[int] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    clock: Column = field(default_factory=list)
    phases: dict[str, Column] = field(default_factory=dict)
    values: dict[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class Histories:
    """What a session has measured.

    Args:
        rows: At the ends of epochs, and after validations within them.
        within: The rows within epochs that ``log`` asks for.
    """

    rows: Table
    within: Table


def read_histories(folder: Path, stages: int) -> Histories:
    """The history of a session.

    Args:
        folder: The session.
        stages: How many it has.

    Raises:
        Unreadable: A file is no history.
    """
    of_stages = [_ordered(rows_of(folder, stage)) for stage in range(stages)]
    within = [_ordered(rows_in(folder, f"metrics/steps-{stage}.csv")) for stage in range(stages)]
    added = {(row.get(STAGE), row.get(STEP)): row for row in rows_in(folder, "metrics/times.csv")}
    noted = [
        [added.get((stage, row[STEP]), {}) for row in of_stages[stage]] for stage in range(stages)
    ]
    places = _places(of_stages)
    along = _Interpolation(places)
    return Histories(
        _table(of_stages, places, noted),
        _table(
            within,
            [along.at(row) for rows in within for row in rows],
            [[{CLOCK: row[CLOCK]} if CLOCK in row else {} for row in rows] for rows in within],
        ),
    )


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """The rows that say where they are."""
    return [row for row in rows if all(isfinite(row.get(key, nan)) for key in (EPOCH, STEP))]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row is: after so many steps, epochs and seconds of training."""

    step: float
    epoch: float
    elapsed: float


def _places(of_stages: Sequence[Sequence[Row]]) -> list[_Place]:
    """Where the rows are of which the last one of each epoch is at its end.

    The last epoch of all may be under way: it is taken to become as long as the one before it.
    """
    found: list[_Place] = []
    begin, length = _Place(0, 0, 0), 0.0
    every = [row for rows in of_stages for row in rows]
    for epoch, group in groupby(every, key=lambda row: row[EPOCH]):
        rows = list(group)
        end = rows[-1][STEP]
        if rows[-1] is every[-1]:
            end = max(end, begin.step + length)
        length = end - begin.step
        for row in rows:
            part = (row[STEP] - begin.step) / length if length > 0 else 1.0
            at = epoch if part >= 1 else max(begin.epoch, epoch - 1 + max(0.0, part))
            seconds = row.get(SECONDS, 0.0)
            spent = seconds if isfinite(seconds) and seconds > 0 else 0.0
            found.append(_Place(row[STEP], at, begin.elapsed + spent))
        begin = found[-1]
    return found


class _Interpolation:
    """Where rows are that stand between others: by their steps.

    Args:
        places: Of the others, in order.
    """

    def __init__(self, places: Sequence[_Place]) -> None:
        self.places = [_Place(0, 0, 0), *places]
        self.steps = list(accumulate((place.step for place in self.places), max))

    def at(self, row: Row) -> _Place:
        """The place of a row; after all others the time goes on as it did between the last two."""
        step = row[STEP]
        after = bisect_left(self.steps, step)
        if after == len(self.steps):
            after -= 1
        before = max(0, after - 1)
        one, other = self.places[before], self.places[after]
        if other.step <= one.step:
            return _Place(step, row[EPOCH], one.elapsed)
        part = (step - one.step) / (other.step - one.step)
        return _Place(
            step,
            min(row[EPOCH], one.epoch + part * (other.epoch - one.epoch)),
            one.elapsed + part * (other.elapsed - one.elapsed),
        )


def _table(
    of_stages: Sequence[Sequence[Row]], places: Sequence[_Place], noted: Sequence[Sequence[Row]]
) -> Table:
    """A table.

    Args:
        of_stages: The rows of each stage.
        places: Of all rows.
        noted: What stands in the file of times, for each row.
    """
    times = [of_row for rows in noted for of_row in rows]
    phases = dict.fromkeys(name for of_row in times for name in of_row)
    rows = [row for rows in of_stages for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(
        [stage for stage, rows in enumerate(of_stages) for _ in rows],
        [place.epoch for place in places],
        [place.step for place in places],
        [place.elapsed for place in places],
        [of_row.get(CLOCK) for of_row in times],
        {name: [of_row.get(name) for of_row in times] for name in phases if name not in NO_VALUES},
        {name: [row.get(name) for row in rows] for name in names if name not in NO_VALUES},
    )
