"""Somebody asks for the state: it is saved after the iteration, and nothing else changes."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Config, toy_config, wait_for_state

from torchassistant import create_session, load_session
from torchassistant.errors import NotSaved
from torchassistant.session import Session
from torchassistant.training import Reporter, StopRequest


class Asking(Reporter):
    """Asks for the state at places of the run, each once.

    Args:
        batches: The batches of validation at which it asks, counted over the whole run.
        iterations: The iterations after which it does.
        session: The session folder; a copy is made as soon as its state is saved.
    """

    def __init__(
        self,
        batches: tuple[int, ...] = (),
        iterations: tuple[int, ...] = (),
        session: Path = Path("run"),
    ) -> None:
        self.stop = StopRequest()
        self.session, self.copy = session, session.with_name("copy")
        self.batches = self.iterations = 0
        self.at_batches, self.at_iterations = batches, iterations
        self.validations = 0

    def iteration_done(self, live: Any) -> None:
        self.copy_saved()
        self.iterations += 1
        if self.iterations in self.at_iterations:
            self.stop.ask_save()

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        self.copy_saved()
        self.validations += 1

    def batch_evaluated(self) -> None:
        self.copy_saved()
        self.batches += 1
        if self.batches in self.at_batches:
            self.stop.ask_save()

    def copy_saved(self) -> None:
        asked = self.batches in self.at_batches or self.iterations in self.at_iterations
        if asked and not self.stop.save_asked and not self.copy.exists():
            shutil.copytree(self.session, self.copy)


def made(folder: Path, workers: int = 0, **checkpoints: Any) -> Session:
    """A session of 3 epochs of 4 iterations; each ends with two batches of validation."""
    loading = {"batch_size": 8, "num_workers": workers, "persistent_workers": workers > 0}
    config = toy_config(
        training={"dataset": "parts.train", "kwargs": loading},
        checking={"dataset": "parts.val", "kwargs": loading},
    )
    config["checkpoints"] = {"keep_last": 99, **checkpoints}
    return create_session(config, folder, preflight=False)


def states(session: Path) -> list[str]:
    return sorted(path.name for path in (session / "checkpoints").iterdir())


def assert_same(one: Session, other: Session) -> None:
    mine, theirs = one.models["net"].state_dict(), other.models["net"].state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    histories = [session.history.drop(columns="seconds") for session in (one, other)]
    assert histories[0].equals(histories[1])


@pytest.fixture
def plain(tmp_path: Path) -> Session:
    session = made(tmp_path / "plain")
    session.train()
    return session


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("asking", "step", "name"),
    [
        (Asking(iterations=(2,)), 2, "0000000002"),
        (Asking(iterations=(4,)), 4, "0000000004"),
        (Asking(batches=(1,)), 4, "0000000004"),
        (Asking(batches=(2,)), 4, "0000000004"),
    ],
    ids=["an iteration", "the last of an epoch", "validation", "its end"],
)
def test_it_is_saved_and_all_goes_on(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    workers: int,
    asking: Asking,
    step: int,
    name: str,
) -> None:
    """What was saved goes on to the same bits as well."""
    plain = made(tmp_path / "plain", workers)
    plain.train()
    session = made(tmp_path / "run", workers)
    asking = Asking(asking.at_batches, asking.at_iterations, tmp_path / "run")
    session.train(asking, asking.stop)
    assert_same(session, plain)
    told = f"the state after iteration {step} is saved in {tmp_path / 'run'}, as requested"
    assert capsys.readouterr().err.count(told) == 1
    assert states(asking.copy)[-1] == name
    again = load_session(asking.copy)
    assert again.progress.step == step
    again.train()
    assert_same(again, plain)


def test_who_asks_all_the_time_stops_no_validation(tmp_path: Path, plain: Session) -> None:
    """It is left once for that, and then goes on: the state is saved already."""
    session = made(tmp_path / "run")
    asking = Asking(tuple(range(100)), session=tmp_path / "run")
    session.train(asking, asking.stop)
    assert_same(session, plain)
    assert asking.validations == 2 * 3
    assert states(tmp_path / "run")[1:] == [f"{step:010d}-1" for step in (4, 8, 12)]


def test_asked_before_it_is_trained(tmp_path: Path, plain: Session) -> None:
    session = made(tmp_path / "run", every_epochs=50)
    asking = Asking()
    asking.stop.ask_save()
    session.train(asking, asking.stop)
    assert states(tmp_path / "run") == ["0000000000", "0000000001", "0000000012"]
    assert_same(session, plain)


# A folder that is lost while it is trained


class Losing(Reporter):
    """Does something to the folder after the second epoch."""

    def __init__(self, lose: Any) -> None:
        self.lose = lose
        self.epochs = 0

    def epoch_finished(self, progress: Any, row: Any) -> None:
        self.epochs += 1
        if self.epochs == 2:
            self.lose()


def lost(session: Session, lose: Any) -> tuple[str, int]:
    reporter = Losing(lambda: (wait_for_state(session), lose()))
    with pytest.raises(NotSaved) as caught:
        session.train(reporter)
    (told,) = caught.value.failures
    return told, reporter.epochs


def long(folder: Path, **checkpoints: Any) -> Session:
    """A session of 50 epochs."""
    config: Config = toy_config()
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 50
    config["checkpoints"] = checkpoints
    return create_session(config, folder, preflight=False)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_that_is_deleted_ends_the_run(tmp_path: Path) -> None:
    """After three saves that fail; nothing is made under its name."""
    session = long(tmp_path / "run")
    told, epochs = lost(session, lambda: shutil.rmtree(tmp_path / "run"))
    assert "3 saves in a row have failed since 20" in told
    assert "run is not there any more; its checkpoints went with it" in told
    assert epochs <= 6
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_moved_is_not_made_again(tmp_path: Path) -> None:
    session = long(tmp_path / "run", max_failed_saves=1)
    told, epochs = lost(session, lambda: (tmp_path / "run").rename(tmp_path / "moved"))
    assert "after iteration 1" in told and "a save has failed since" in told
    assert epochs <= 4
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]
    again = load_session(tmp_path / "moved")
    assert again.progress.epoch == 2


@pytest.mark.parametrize("part", ["", "checkpoints", "metrics", "history"])
@pytest.mark.parametrize("link", [False, True])
def test_what_stands_in_its_place_is_not_written_into(
    tmp_path: Path, part: str, link: bool
) -> None:
    """Another session, say: its checkpoints are not taken away either."""
    session = long(tmp_path / "run", every_iterations=2)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    before = tree(tmp_path / "other")
    place, other = tmp_path / "run" / part, tmp_path / "other" / part

    def exchange() -> None:
        place.rename(tmp_path / "moved")
        if link:
            place.symlink_to(other)
        else:
            other.rename(place)

    told, epochs = lost(session, exchange)
    assert "was replaced by another folder" in told
    assert epochs <= 6
    if not link:
        place.rename(other)
    assert tree(tmp_path / "other") == before


def test_or_the_run_goes_on(tmp_path: Path) -> None:
    """Where that is wished; what fails is told all the same, and what can be saved later is."""
    long(tmp_path / "run", max_failed_saves=None)
    session = load_session(tmp_path / "run")  # as a command does it
    moved = tmp_path / "moved"

    class Back(Losing):
        def epoch_finished(self, progress: Any, row: Any) -> None:
            super().epoch_finished(progress, row)
            if self.epochs == 30:
                moved.rename(tmp_path / "run")

    reporter = Back(lambda: (wait_for_state(session), (tmp_path / "run").rename(moved)))
    with pytest.raises(NotSaved) as caught:
        session.train(reporter)
    assert len(caught.value.failures) > 20
    again = load_session(tmp_path / "run")
    assert again.finished
    assert_same(again, session)
    assert len(again.history) == 50


def test_a_full_disk_is_waited_for_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = long(tmp_path / "run")
    monkeypatch.setattr(os, "fsync", full)
    clock = time.monotonic

    def later() -> None:
        time.sleep(0.3)  # until a save has failed
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 61)

    reporter = Losing(later)
    with pytest.raises(NotSaved, match="No space left on device"):
        session.train(reporter)
    assert 2 < reporter.epochs <= 6
    monkeypatch.undo()
    assert load_session(tmp_path / "run").progress.step == 0


def test_the_last_sound_state_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the file system was made read-only."""

    def fail(handle: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    session = long(tmp_path / "run")
    told, _ = lost(session, lambda: monkeypatch.setattr(os, "fsync", fail))
    assert "Read-only file system; the last valid checkpoint is " in told
    assert told.endswith("run/checkpoints/0000000008")


def full(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
