"""The line of an epoch: it fits a terminal of any width, and tells columns apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.utils import disp_len

from torchassistant.training.epoch_line import (
    EpochLines,
    joined_within,
    shortened,
    told_apart,
    with_its_end,
)
from torchassistant.training.progress import Row

TITLES = ["stage 1/2 (fine) epoch  3/10", "stage 1/2 epoch  3/10", "1/2 epoch  3/10", "1/2:  3/10"]
ROW: Row = {"epoch": 3, "step": 30, "loss": 0.31234, "val loss": 0.2, "top 5": None, "seconds": 3.2}

texts = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=40)
numbers = st.floats() | st.integers(-(10**9), 10**9)


def test_a_line_without_a_width_is_whole() -> None:
    line = EpochLines().line(TITLES, ROW, {"val loss"}, None)
    assert line == "stage 1/2 (fine) epoch  3/10  loss 0.3123   val loss 0.2*      3.2 s"


def test_titles_give_way_before_names() -> None:
    lines = EpochLines()
    assert lines.line(TITLES, ROW, (), 54).startswith("1/2 epoch  3/10  loss 0.3123   val loss 0")
    assert lines.line(TITLES, ROW, (), 200).startswith("1/2 epoch  3/10  loss ")


def test_values_stand_below_each_other() -> None:
    lines = EpochLines()
    better: Row = {**ROW, "loss": 0.3, "val loss": 0.15}
    one, other = (lines.line(TITLES, row, {"loss"}, 80) for row in (ROW, better))
    assert one.index("val loss") == other.index("val loss")
    assert one.index("3.2 s") == other.index("3.2 s")
    best = [lines.line(TITLES, {**ROW, "loss": loss}, {"loss"}, 80) for loss in (0.3, 0.01234)]
    assert best[0].index("val loss") == best[1].index("val loss")
    # A longer one moves what follows it once.
    long, short = (lines.line(TITLES, {**ROW, "loss": loss}, (), 80) for loss in (1.234e-5, 0.3))
    assert long.index("val loss") == short.index("val loss")


def test_the_best_is_painted_and_takes_no_room() -> None:
    painted = EpochLines(lambda text: f"<{text}>").line(TITLES, ROW, {"loss"}, 80)
    plain = EpochLines().line(TITLES, ROW, {"loss"}, 80)
    assert "loss <0.3123*>   val" in painted
    assert painted.replace("<", "").replace(">", "") == plain


def test_what_has_no_room_is_counted() -> None:
    row: Row = {**ROW, **{f"metric {number}": 0.5 for number in range(20)}}
    line = EpochLines().line(TITLES, row, (), 40)
    shown = line.count("0.")
    assert line.endswith(f"+{22 - shown}")
    assert len(line) <= 40


@given(
    st.dictionaries(texts, numbers, max_size=12),
    st.integers(20, 200),
    st.text(st.characters(categories=["L"]), max_size=30),
)
def test_any_row_fits(row: dict[str, float], width: int, label: str) -> None:
    lines, titles = EpochLines(), [f"stage 1/2 ({label}) epoch 3/10", *TITLES[1:]]
    for seconds in (0.1, 100.0):
        whole: Row = {**row, "seconds": seconds}
        assert disp_len(lines.line(titles, whole, set(row), width)) <= width


@given(st.lists(texts, max_size=8), st.integers(4, 40))
def test_names_are_shortened(names: list[str], width: int) -> None:
    for name in [*told_apart(names, width), *(shortened(name, width) for name in names)]:
        assert disp_len(name) <= width
    assert all(disp_len(with_its_end(name, width)) <= width for name in names)
    short = [name for name in names if disp_len(name) <= width]
    assert [shortened(name, width) for name in short] == short


@pytest.mark.parametrize(
    ("names", "width", "found"),
    [
        (["validation accuracy", "loss"], 12, ["valid accura", "loss"]),
        (["val squared error", "val absolute error"], 9, ["val squ …", "val abs …"]),
        (["val squared error", "val absolute error"], 5, ["squar", "absol"]),
        (["reconstruction_a", "reconstruction_b"], 6, ["reco_a", "reco_b"]),
    ],
)
def test_names_stay_apart(names: list[str], width: int, found: list[str]) -> None:
    short = told_apart(names, width)
    assert len(set(short)) == len(names)
    assert max(map(len, short)) <= width
    assert short == found


def test_parts_within_a_width() -> None:
    parts = ["data 31%", "forward 22%", "other 1%"]
    assert joined_within(parts, None) == ", ".join(parts)
    assert joined_within(parts, 22) == "data 31%, forward 22%"
    assert joined_within(parts, 3) == "data 31%"
    assert not math.isnan(len(joined_within([], 3)))
