"""Histories: what is written is read again, twice there, and cut back to what counts."""

from __future__ import annotations

import math
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import torchassistant.session.files.append_only_logs as logs_module
from torchassistant.errors import SessionError
from torchassistant.session.files.append_only_logs import Logs, texts_of
from torchassistant.session.files.manifest import Damaged, Manifest, of_text
from torchassistant.session.history.history import History
from torchassistant.training import Row

names = st.text(min_size=1, max_size=8).filter(
    lambda name: name.isprintable() and name not in ("epoch", "step", "seconds")
)


def row(epoch: int, **values: float) -> Row:
    return {"epoch": epoch, "step": epoch, **values, "seconds": 1.0}


def three_rows(folder: Path) -> History:
    """A history with two rows of one stage and one of the next, all of them in files."""
    history = History(Logs(folder))
    for epoch in (1, 2):
        history.append(0, row(epoch, loss=0.5 / epoch))
    history.append(1, row(3, other=0.25))
    history.logs.repair()
    return history


def files_in(folder: Path, where: str = "metrics") -> dict[int, bytes]:
    """The files of stages, by their index; the times of their rows are in another one."""
    files = sorted((folder / where).glob("[0-9]*.csv"))
    return {int(path.stem): path.read_bytes() for path in files}


@given(st.dictionaries(names, st.floats(), max_size=4))
def test_rows_make_a_round_trip(values: dict[str, float]) -> None:
    history = History(Logs(Path("nowhere")))
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
    history = History(Logs(tmp_path))
    history.start(0, ["epoch", "step", "loss", "seconds"])
    history.logs.repair()
    assert files_in(tmp_path) == {0: b"epoch,step,loss,seconds\n"}
    assert history.rows(0) == []


def test_the_header_is_fixed(tmp_path: Path) -> None:
    """A row may have more, or less, as without a callback that was there before."""
    history = three_rows(tmp_path)
    history.append(0, {"epoch": 4, "step": 4, "new": 1.0, "seconds": 1.0})
    (*_, last) = history.rows(0)
    assert list(last) == ["epoch", "step", "loss", "seconds"]
    assert last["loss"] is None


def test_files_are_only_added_to(tmp_path: Path) -> None:
    history = three_rows(tmp_path)
    before = files_in(tmp_path)
    handle = (tmp_path / "metrics" / "0.csv").stat().st_ino
    history.append(0, row(4, loss=0.1))
    for sync in (False, True):
        history.logs.write(history.logs.marks(), sync)
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
@pytest.mark.parametrize("where", ["metrics", "history"])
def test_files_are_made_what_counts(tmp_path: Path, spoil: object, where: str) -> None:
    history = three_rows(tmp_path)
    before = files_in(tmp_path)
    assert files_in(tmp_path, "history") == before
    spoil(tmp_path / where / "0.csv")  # type: ignore[operator]
    (tmp_path / where / "2.csv").write_text("of a stage that has not begun")
    is_longer = len(files_in(tmp_path, where).get(0, b"")) > len(before[0])
    assert bool(history.logs.damage()) is not is_longer
    manifest = Manifest({}, {}, logs=history.logs.marks())
    again = History(Logs(tmp_path, texts_of(tmp_path, manifest)))
    again.logs.repair()
    assert files_in(tmp_path) == files_in(tmp_path, "history") == before
    assert not again.logs.damage()


def test_where_both_are_damaged_that_is_said(tmp_path: Path) -> None:
    """What an earlier state needs of them may be there all the same."""
    history = three_rows(tmp_path)
    early = Manifest({}, {}, logs=history.logs.marks())
    history.append(1, row(4, other=0.5))
    history.logs.write(history.logs.marks(), save=True)
    late = Manifest({}, {}, logs=history.logs.marks())
    (tmp_path / "metrics" / "1.csv").unlink()
    copy = tmp_path / "history" / "1.csv"
    copy.write_bytes(copy.read_bytes()[:-3])
    with pytest.raises(Damaged, match=r"history is lost: metrics/1\.csv is missing, and history/"):
        texts_of(tmp_path, late)
    assert texts_of(tmp_path, early)["metrics/1.csv"].endswith(b"\n3,3,0.25,1.0\n")


@pytest.mark.parametrize("where", ["metrics", "history"])
def test_what_has_another_name_too_is_not_written_to(tmp_path: Path, where: str) -> None:
    history = three_rows(tmp_path)
    path, other = tmp_path / where / "0.csv", tmp_path / "other"
    os.link(path, other)
    then = other.read_bytes()
    history.append(0, row(4, loss=0.1))
    history.logs.write(history.logs.marks(), save=True)
    assert other.read_bytes() == then
    path.unlink()
    other.write_text("mine")
    os.link(other, path)
    history.logs.repair()
    assert other.read_text() == "mine"
    assert files_in(tmp_path) == files_in(tmp_path, "history")
    assert path.read_bytes() == history.logs.text("metrics/0.csv")


MIB = 2**20


def with_tensors(folder: Path, count: int, save: bool = False) -> History:
    """A history with rows of 1 MiB of tensors each, which are written one after the other."""
    history = History(Logs(folder))
    history.logs.repair()
    for epoch in range(1, count + 1):
        history.append(0, row(epoch, loss=0.5), {"curve": torch.full((MIB // 4,), float(epoch))})
        history.logs.write(history.logs.marks(), save)
    return history


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """The most bytes that Python has had since it was asked last; those of tensors are no part."""
    tracemalloc.start()

    def asked() -> int:
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        return found

    yield asked
    tracemalloc.stop()


@pytest.mark.parametrize("save", [False, True])
def test_tensors_of_rows_are_not_kept_in_memory(
    tmp_path: Path, peak: Callable[[], int], save: bool
) -> None:
    history = with_tensors(tmp_path, 24, save)
    assert peak() < 8 * MIB
    marks = history.logs.marks()
    again = History(Logs(tmp_path, texts_of(tmp_path, Manifest({}, {}, logs=marks))))
    again.logs.repair()
    assert not again.logs.damage()
    assert again.logs.marks() == marks
    assert peak() < 8 * MIB
    for one in (history, again):
        for epoch in range(1, 25):
            (curve,) = one.data_of(0, epoch).values()
            assert isinstance(curve, torch.Tensor) and bool((curve == epoch).all())
    assert peak() < 8 * MIB


@pytest.mark.parametrize("where", ["metrics", "history"])
@pytest.mark.parametrize("spoil", ["missing", "cut off", "linked"])
def test_tensors_that_somebody_spoils_come_from_the_other_file(
    tmp_path: Path, where: str, spoil: str
) -> None:
    history = with_tensors(tmp_path, 2)
    path = tmp_path / where / "0-1.safetensors"
    whole = path.read_bytes()
    if spoil == "missing":
        path.unlink()
    elif spoil == "cut off":
        os.truncate(path, 100)
    else:
        os.link(path, tmp_path / "backup")
    assert history.data_of(0, 1)["curve"][0] == 1
    history.logs.write(history.logs.marks(), save=True)
    assert path.read_bytes() == whole
    assert path.stat().st_nlink == 1


def test_tensors_of_which_both_files_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run goes on, and its next state is whole."""
    history = with_tensors(tmp_path, 2)
    for where in ("metrics", "history"):
        (tmp_path / where / "0-1.safetensors").unlink()
    with pytest.raises(SessionError, match=r"history is lost: metrics/0-1.safetensors is missing"):
        history.data_of(0, 1)
    there = history.logs.write(history.logs.marks(), save=True)
    assert "that row has no tensors any more" in capsys.readouterr().err
    assert there == history.logs.marks()
    again = History(Logs(tmp_path, texts_of(tmp_path, Manifest({}, {}, logs=there))))
    assert again.data_of(0, 1) == {}
    assert set(again.data_of(0, 2)) == {"curve"}


@pytest.mark.parametrize("name", ["../0.csv", "metrics/x.csv", "spec.json", "/etc/passwd"])
def test_no_other_file_is_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(Damaged, match="a history of the name"):
        texts_of(tmp_path, Manifest({}, {}, logs={name: {"size": 0, "sha256": ""}}))


@pytest.mark.parametrize("where", ["metrics", "history"])
def test_a_fifo_is_not_waited_for(tmp_path: Path, where: str) -> None:
    history = three_rows(tmp_path)
    before, path = files_in(tmp_path), tmp_path / where / "0.csv"
    path.unlink()
    os.mkfifo(path)
    assert "is a FIFO" in history.logs.damage()[0]
    history.append(0, row(4, loss=0.1))
    with pytest.raises(OSError):
        history.logs.write(history.logs.marks(), save=True)
    again = Logs(tmp_path, texts_of(tmp_path, Manifest({}, {}, logs=three_marks(before))))
    again.repair()
    assert files_in(tmp_path, where) == before


def three_marks(files: dict[int, bytes]) -> dict[str, dict[str, object]]:
    marks = {f"metrics/{stage}.csv": of_text(data) for stage, data in files.items()}
    return {name: {k: v for k, v in mark.items() if k != "text"} for name, mark in marks.items()}


@pytest.mark.parametrize("where", ["metrics", "history"])
@pytest.mark.parametrize("size", [None, 0, 10])
def test_what_is_taken_away_while_it_is_written_is_made_whole(
    tmp_path: Path, where: str, size: int | None
) -> None:
    history = three_rows(tmp_path)
    path = tmp_path / where / "0.csv"
    path.unlink() if size is None else os.truncate(path, size)
    history.append(0, row(4, loss=0.1))
    history.logs.write(history.logs.marks(), save=True)
    assert path.read_bytes() == history.logs.text("metrics/0.csv")


def test_phases_stand_beside_rows_unless_the_session_is_older(tmp_path: Path) -> None:
    history = History(Logs(tmp_path))
    history.append(0, row(1), spent={"data": 0.25, "other": 1.0})
    history.append(0, row(2))
    first, second = history.times_after(0)[0]
    assert (first["data"], second["data"]) == (0.25, None)
    older = three_rows(tmp_path)
    older.append(1, row(4, other=0.5), spent={"data": 0.25})
    assert list(older.times_after(0)[0][-1]) == ["stage", "epoch", "step", "time"]


def test_a_save_writes_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = three_rows(tmp_path)
    for epoch in range(4, 1000):
        history.append(1, row(epoch, other=0.25))
    history.logs.write(history.logs.marks(), save=True)
    written: list[int] = []
    real = logs_module.continue_file

    def counted(path: Path, size: int, data: bytes, sync: bool) -> None:
        written.append(len(data))
        real(path, size, data, sync)

    monkeypatch.setattr(logs_module, "continue_file", counted)
    history.append(1, row(1000, other=0.25))
    history.logs.write(history.logs.marks(), save=True)
    times = history.logs.text("metrics/times.csv").splitlines(keepends=True)
    assert written == [len(times[-1])] * 2 + [len(b"1000,1000,0.25,1.0\n")] * 2


def test_a_failed_write_is_mended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk was full: a part of the row stands in the file."""
    history = three_rows(tmp_path)
    path = tmp_path / "metrics" / "0.csv"
    history.append(0, row(4, loss=0.1))
    path.write_bytes(path.read_bytes() + b"4,4,0.")
    history.append(0, row(5, loss=0.05))
    history.logs.write(history.logs.marks(), save=True)
    assert path.read_bytes() == history.logs.text("metrics/0.csv")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    history = three_rows(tmp_path)
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (tmp_path / "metrics" / "0.csv").unlink()
    (tmp_path / "metrics" / "0.csv").symlink_to(outside)
    history.append(0, row(4, loss=0.1))
    for write in (lambda: history.logs.write(history.logs.marks(), save=True), history.logs.repair):
        with pytest.raises(SessionError, match="is a link"):
            write()
    assert outside.read_text() == "kept"


def test_the_table_has_a_column_of_stages(tmp_path: Path) -> None:
    history = three_rows(tmp_path)
    table = history.table([0, 1])
    assert list(table) == ["stage", "epoch", "step", "loss", "other", "seconds"]
    assert table["stage"].tolist() == [0, 0, 1]
    assert list(History(Logs(tmp_path)).table([0])) == ["stage", "epoch", "step", "seconds"]


def test_what_is_no_history(tmp_path: Path) -> None:
    history = History(Logs(tmp_path, {"metrics/0.csv": b"epoch,step,seconds\n1,1,soon\n"}))
    with pytest.raises(SessionError, match="is not a history"):
        history.rows(0)
