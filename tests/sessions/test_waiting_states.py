"""Where epochs are shorter than the disk takes, or states large: what waits, what is written."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from toy_config import Config, toy_config

from torchassistant import create_session, load_session
from torchassistant.errors import NotSaved
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.local_checkpoints import LocalCheckpoints
from torchassistant.session.checkpoints.retention import Best, BestRanks
from torchassistant.session.saving import checkpoint_manager, waiting_states
from torchassistant.session.saving.waiting_states import WaitingState, WaitingStates

EPOCHS = 12


class SlowDisk:
    """Writes the state of the beginning, and no other until it is opened.

    Attributes:
        opened: Set: it writes.
        steps: Of the states that were written.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.opened = threading.Event()
        save = LocalCheckpoints.save

        def slow(storage: LocalCheckpoints, step: int, *rest: Any, **more: Any) -> str:
            if step:
                self.opened.wait()
                self.steps.append(step)
            return save(storage, step, *rest, **more)

        patch.setattr(LocalCheckpoints, "save", slow)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    slow = SlowDisk(monkeypatch)
    yield slow
    slow.opened.set()


def opens_where_training_waits(disk: SlowDisk, patch: pytest.MonkeyPatch) -> list[int]:
    """The disk is opened as soon as training waits; gives how many states waited, each time."""
    waited: list[int] = []
    wait = checkpoint_manager.CheckpointManager.wait

    def noting(manager: checkpoint_manager.CheckpointManager) -> None:
        waited.append(manager._waiting.count)
        disk.opened.set()
        wait(manager)

    patch.setattr(checkpoint_manager.CheckpointManager, "wait", noting)
    return waited


def trained(folder: Path, checkpoints: Config, *stages: Config) -> list[int]:
    """Twelve epochs of 4 iterations in each stage; gives the steps of the states that stay."""
    config = toy_config()
    (stage,) = config["train"]["stages"]
    stage["stop_condition"] = {"class": "EpochsCompleted", "args": [EPOCHS]}
    config["train"]["stages"] = [{**stage, **more} for more in stages or ({},)]
    session = create_session({**config, "checkpoints": checkpoints}, folder, preflight=False)
    session.train()
    assert load_session(folder).finished
    return [int(name.partition("-")[0]) for name in session.folder.storage.names()]


def test_what_would_be_removed_at_once_is_not_written(
    tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = opens_where_training_waits(disk, monkeypatch)
    assert trained(tmp_path / "run", {}) == [40, 44, 48]
    # The first was on its way already; those before the last three are passed over.
    assert max(waited) == 4
    assert disk.steps == [4, 40, 44, 48]


def test_the_best_is_written_however_many_wait_behind_it(
    tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens_where_training_waits(disk, monkeypatch)
    best = {"monitor": "epoch", "mode": "min", "keep": 2}
    assert trained(tmp_path / "run", {"keep_last": 1, "best": best}) == [4, 8, 48]


def test_all_are_written_where_all_stay(
    tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = opens_where_training_waits(disk, monkeypatch)
    assert trained(tmp_path / "run", {"keep_last": 99}) == list(range(0, 49, 4))
    assert max(waited) == 8


def test_whoever_writes_rests_until_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_states, "_SHARE", 1e-12)
    monkeypatch.setattr(waiting_states, "_LONGEST_REST", 1000.0)  # longer than any test may take
    written: list[int] = []
    ranks = BestRanks(Best("loss", "min", 1), [{"loss": 1.0}])
    waiting = WaitingStates(1, [ranks])

    def add(step: int, loss: float, size: int = 1) -> None:
        write, bundle = partial(written.append, step), CheckpointBundle()
        waiting.add(WaitingState(step, size, {"loss": loss}, False, bundle, write))

    def writing() -> threading.Thread:
        thread = threading.Thread(target=waiting.write_next, daemon=True)
        thread.start()
        return thread

    def ends(thread: threading.Thread) -> bool:
        thread.join(60)
        return not thread.is_alive()

    add(1, 1.0)
    assert ends(writing())  # it has done nothing yet that it could rest from
    add(2, 2.0)
    resting = writing()
    add(3, 3.0)  # the second is passed over
    assert resting.is_alive()
    assert written == [1]
    waiting.hurry(True)
    assert ends(resting)
    assert ends(writing())  # there is no more
    assert written == [1, 3]
    assert waiting.count == 0
    waiting.hurry(False)
    add(4, 4.0, 2**25)  # there is room for little more
    assert ends(writing())
    assert written == [1, 3, 4]


def test_large_states_are_not_copied(
    tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.opened.set()
    assert trained(tmp_path / "copied", {"keep_last": 1}) == [48]
    disk.opened.clear()
    monkeypatch.setattr(waiting_states, "_MOST_COPIED", 100)
    monkeypatch.setattr(CheckpointBundle, "take_copies", None)
    waited = opens_where_training_waits(disk, monkeypatch)
    assert trained(tmp_path / "run", {}) == [40, 44, 48]
    assert max(waited) == 1
    assert disk.steps[-12:] == list(range(4, 49, 4))
    stored = tmp_path / "run" / "checkpoints"
    assert {path.name for path in stored.iterdir()} == {f"{step:010d}" for step in (40, 44, 48)}
    for name in ("models/net", "optimizers/adam", "state"):
        for path in (tmp_path / "copied" / "checkpoints" / f"{48:010d}").glob(f"{name}.safe*"):
            same = stored / f"{48:010d}" / f"{name}.safetensors"
            assert path.read_bytes() == same.read_bytes()


def test_a_large_state_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting_states, "_MOST_COPIED", 100)
    write, calls = CheckpointBundle.write_aside, count()

    def full(bundle: CheckpointBundle, folder: Path) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(bundle, folder)

    monkeypatch.setattr(CheckpointBundle, "write_aside", full)
    with pytest.raises(NotSaved, match="state at step 12 could not be saved: No space left"):
        trained(tmp_path / "run", {"keep_last": 99})
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.endswith("; training continues\n")
    stored = tmp_path / "run" / "checkpoints"
    assert 12 not in {int(path.name) for path in stored.iterdir()}
    assert load_session(tmp_path / "run").finished


def test_what_a_later_stage_starts_from_is_written(
    tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens_where_training_waits(disk, monkeypatch)
    last: Config = {"start_from": {"stage": 0, "checkpoint": "last"}}
    assert trained(tmp_path / "run", {"keep_last": 1}, {}, {}, last) == [144]
    assert 48 in disk.steps
