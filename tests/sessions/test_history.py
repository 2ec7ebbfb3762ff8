"""The history as CSV: what is written is what is read, to the bit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.errors import SessionError
from torchassistant.session.history import History

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda name: name not in ("epoch", "step", "seconds")
)


@given(st.dictionaries(names, st.floats(), max_size=4))
def test_rows_make_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, float]
) -> None:
    history = History(tmp_path_factory.mktemp("metrics"))
    row = {"epoch": 1, "step": 7, **values, "seconds": 0.1}
    history.append(0, row)
    history.append(0, {**row, "epoch": 2})
    first, second = history.rows(0)
    assert list(first) == list(row)
    assert second["epoch"] == 2
    assert type(first["step"]) is int
    for name, value in values.items():
        assert first[name] == value or (math.isnan(first[name]) and math.isnan(value))


def test_cut_drops_what_came_after_an_epoch(tmp_path: Path) -> None:
    history = History(tmp_path)
    for epoch in range(1, 5):
        stage = 0 if epoch <= 2 else 1
        history.append(stage, {"epoch": epoch, "step": epoch, "loss": 0.5, "seconds": 1.0})
    history.append(2, {"epoch": 5, "step": 5, "seconds": 1.0})
    history.cut(1, 3)
    assert [row["epoch"] for row in history.rows(0)] == [1, 2]
    assert [row["epoch"] for row in history.rows(1)] == [3]
    assert history.rows(2) == []
    history.cut(0, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_a_column_of_stages(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.append(0, {"epoch": 1, "step": 1, "a": 1.0, "seconds": 1.0})
    history.append(1, {"epoch": 2, "step": 2, "b": 2.0, "seconds": 1.0})
    table = history.table(2)
    assert list(table) == ["stage", "epoch", "step", "a", "b", "seconds"]
    assert table["stage"].tolist() == [0, 1]
    assert list(History(tmp_path / "none").table(1)) == ["stage", "epoch", "step", "seconds"]


def test_a_file_that_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("epoch,step,seconds\n1,1,soon\n")
    with pytest.raises(SessionError, match="is no history"):
        History(tmp_path).rows(0)
