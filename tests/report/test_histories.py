"""The rows of histories as columns: in their order, exact, each at its place on every axis."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_sessions import csv_of, rows_of_epochs, write_session

from torchassistant.overview import Unreadable
from torchassistant.report.histories import read_histories

VALUES = st.one_of(st.none(), st.floats())
LENGTHS = st.lists(st.integers(1, 50), min_size=0, max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Stages of epochs with rows at their ends, and some within them."""
    epoch = step = 0
    stages = []
    for lengths in draw(st.lists(LENGTHS, min_size=1, max_size=3)):
        rows = []
        for length in lengths:
            epoch += 1
            inner = draw(st.sets(st.integers(1, length), max_size=2)) | {length}
            rows += [
                {
                    "epoch": epoch,
                    "step": step + at,
                    "a": draw(VALUES),
                    'b/c, "d"': draw(VALUES),
                    "seconds": at / 10,
                }
                for at in sorted(inner)
            ]
            step += length
        stages.append(rows)
    return stages


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


@given(histories())
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_value_is_at_its_place(
    tmp_path_factory: pytest.TempPathFactory, stages: list[list[dict[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_session(folder, stages)
    table = read_histories(folder, len(stages)).rows
    rows = [(stage, row) for stage, its_rows in enumerate(stages) for row in its_rows]
    assert table.stages == [stage for stage, _ in rows]
    assert table.steps == [row["step"] for _, row in rows]
    for name, column in table.values.items():
        assert all(same(x, row[name]) for x, (_, row) in zip(column, rows, strict=True))
    # Forwards on each axis, and at whole epochs where an epoch ends.
    for axis in (table.epochs, table.elapsed):
        assert all(a <= b + 1e-9 for a, b in pairwise(axis))
    for (_, row), epoch, after in zip(rows, table.epochs, [*rows[1:], None], strict=False):
        assert row["epoch"] - 1 <= epoch <= row["epoch"]
        if after is not None and after[1]["epoch"] > row["epoch"]:
            assert epoch == row["epoch"]


@given(st.binary(max_size=300))
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_stands_in_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    folder = tmp_path_factory.mktemp("run")
    for beginning in (b"", b"epoch,step,loss,seconds\n1,10,0.5,1\n"):
        (folder / "metrics").mkdir(exist_ok=True)
        (folder / "metrics" / "0.csv").write_bytes(beginning + text)
        (folder / "metrics" / "steps-0.csv").write_bytes(b"epoch,step,loss,time\n" + text)
        try:
            found = read_histories(folder, 1)
        except Unreadable:
            continue
        for table in (found.rows, found.within):
            assert {len(column) for column in table.values.values()} <= {len(table)}
            assert len(table.epochs) == len(table.elapsed) == len(table.clock) == len(table)


def test_rows_within_epochs_lie_between_those_of_the_epochs(tmp_path: Path) -> None:
    within = [
        {"epoch": 1 + step // 11, "step": step, "loss": 1.0, "time": 5.0}
        for step in (5, 10, 15, 22)
    ]
    folder = write_session(
        tmp_path / "run",
        [rows_of_epochs((1, 2))],
        files={"metrics/steps-0.csv": csv_of(within)},
    )
    found = read_histories(folder, 1).within
    assert found.epochs[:3] == [0.5, 1.0, 1.5]
    assert found.elapsed[:3] == [0.75, 1.5, 2.25]
    # Past the last row time goes on as before.
    assert found.elapsed[3] == pytest.approx(3.3)


def test_an_epoch_that_is_under_way_is_taken_to_be_as_long_as_the_last(tmp_path: Path) -> None:
    rows = [*rows_of_epochs((1, 2)), rows_of_epochs((3,))[0] | {"step": 25}]
    folder = write_session(tmp_path / "run", [rows])
    assert read_histories(folder, 1).rows.epochs == [1.0, 2.0, 2.5]
