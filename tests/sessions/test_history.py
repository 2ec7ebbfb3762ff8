"""Histories: what is written is read again, and files are cut back to what counts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.errors import SessionError
from torchassistant.session.history import History
from torchassistant.training import Row

names = st.text(min_size=1, max_size=8).filter(
    lambda name: name.isprintable() and name not in ("epoch", "step", "seconds")
)


def row(epoch: int, **values: float) -> Row:
    return {"epoch": epoch, "step": epoch, **values, "seconds": 1.0}


def three_rows(folder: Path) -> History:
    """A history with two rows of one stage and one of the next, all of them in files."""
    history = History(folder)
    for epoch in (1, 2):
        history.append(0, row(epoch, loss=0.5 / epoch))
    history.append(1, row(3, other=0.25))
    history.repair()
    return history


def files_in(folder: Path) -> dict[int, bytes]:
    return {int(p.stem): p.read_bytes() for p in sorted((folder / "metrics").iterdir())}


@given(st.dictionaries(names, st.floats(), max_size=4))
def test_rows_make_a_round_trip(values: dict[str, float]) -> None:
    history = History(Path("nowhere"))
    first = row(1, **values)
    history.append(0, first)
    history.append(0, {**first, "epoch": 2})
    read, second = history.rows(0)
    assert list(read) == list(first)
    assert second["epoch"] == 2
    assert type(read["step"]) is int
    for name, value in values.items():
        assert read[name] == value or (math.isnan(read[name]) and math.isnan(value))


def test_the_header_stands_when_the_stage_starts(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.start(0, ["epoch", "step", "loss", "seconds"])
    history.repair()
    assert files_in(tmp_path) == {0: b"epoch,step,loss,seconds\n"}
    assert history.rows(0) == []


def test_the_header_is_fixed(tmp_path: Path) -> None:
    """A row may have more, or less."""
    history = three_rows(tmp_path)
    history.append(0, {"epoch": 4, "step": 4, "new": 1.0, "seconds": 1.0})
    (*_, last) = history.rows(0)
    assert list(last) == ["epoch", "step", "loss", "seconds"]
    assert math.isnan(last["loss"])


def test_files_are_only_added_to(tmp_path: Path) -> None:
    history = three_rows(tmp_path)
    before = files_in(tmp_path)
    handle = (tmp_path / "metrics" / "0.csv").stat().st_ino
    history.append(0, row(4, loss=0.1))
    for sync in (False, True):
        history.write(history.contents(), sync)
        after = files_in(tmp_path)
        assert after[0] == before[0] + b"4,4,0.1,1.0\n"
        assert after[1] == before[1]
    assert (tmp_path / "metrics" / "0.csv").stat().st_ino == handle


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes() + b"9,9,0.5,1.0\n9,9,"),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"0.25", b"0.27")),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["longer", "torn", "changed", "empty", "missing"],
)
def test_files_are_made_what_counts(tmp_path: Path, spoil: object) -> None:
    history = three_rows(tmp_path)
    before = files_in(tmp_path)
    spoil(tmp_path / "metrics" / "0.csv")  # type: ignore[operator]
    (tmp_path / "metrics" / "2.csv").write_text("of a stage that has not begun")
    is_longer = len(files_in(tmp_path).get(0, b"")) > len(before[0])
    assert bool(history.damage()) is not is_longer
    history.repair()
    assert files_in(tmp_path) == before
    assert not history.damage()


def test_a_failed_write_is_mended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk was full: a part of the row stands in the file."""
    history = three_rows(tmp_path)
    path = tmp_path / "metrics" / "0.csv"
    history.append(0, row(4, loss=0.1))
    path.write_bytes(path.read_bytes() + b"4,4,0.")
    history.append(0, row(5, loss=0.05))
    history.write(history.contents(), sync=True)
    assert path.read_bytes() == history.contents()["metrics/0.csv"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    history = three_rows(tmp_path)
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (tmp_path / "metrics" / "0.csv").unlink()
    (tmp_path / "metrics" / "0.csv").symlink_to(outside)
    history.append(0, row(4, loss=0.1))
    for write in (lambda: history.write(history.contents(), sync=True), history.repair):
        with pytest.raises(SessionError, match="is a link"):
            write()
    assert outside.read_text() == "kept"


def test_the_table_has_a_column_of_stages(tmp_path: Path) -> None:
    history = three_rows(tmp_path)
    table = history.table(2)
    assert list(table) == ["stage", "epoch", "step", "loss", "other", "seconds"]
    assert table["stage"].tolist() == [0, 0, 1]
    assert list(History(tmp_path).table(1)) == ["stage", "epoch", "step", "seconds"]


def test_what_is_no_history(tmp_path: Path) -> None:
    history = History(tmp_path, {0: b"epoch,step,seconds\n1,1,soon\n"})
    with pytest.raises(SessionError, match="is no history"):
        history.rows(0)
