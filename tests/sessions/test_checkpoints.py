"""When the state of a run is saved, which states are kept and used, and what a failure costs."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stopping import Stopping, cut
from toy_config import Command, Config, toy_config, wait_for_state

from torchassistant import create_session, load_session
from torchassistant.config import load
from torchassistant.errors import ConfigError, NotSaved, SessionError
from torchassistant.session import Session, evaluate_config
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.local_checkpoints import LocalCheckpoints
from torchassistant.session.checkpoints.retention import Best, BestRanks, prune
from torchassistant.session.checkpoints.selection import CheckpointSelector
from torchassistant.session.checkpoints.storage import Checkpoint, CheckpointStorage, order_of
from torchassistant.session.files.manifest import Manifest, verified_manifest
from torchassistant.training import Reporter


def made(folder: Path, checkpoints: Config | None = None, config: Config | None = None) -> Session:
    """A session of 3 epochs of 4 iterations."""
    whole = {**(config or toy_config()), "checkpoints": checkpoints or {}}
    return create_session(whole, folder, preflight=False)


def names(session: Path) -> list[str]:
    return LocalCheckpoints(session / "checkpoints").names()


def empty(session: Path) -> LocalCheckpoints:
    (session / "checkpoints").mkdir()
    return LocalCheckpoints(session / "checkpoints")


def steps(session: Path) -> list[int]:
    return [int(name.partition("-")[0]) for name in names(session)]


def weights(session: Session) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in session.models["net"].state_dict().items()}


def same(one: Session, other: Session) -> bool:
    mine, theirs = weights(one), weights(other)
    return all(torch.equal(mine[key], theirs[key]) for key in theirs)


def rows(session: Session) -> list[list[float]]:
    return session.history.drop(columns="seconds").values.tolist()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The run without anything out of the ordinary; every state of it is kept."""
    session = made(tmp_path_factory.mktemp("plain") / "run", ALL)
    session.train()
    return session


ALL: Config = {"every_iterations": 1, "keep_last": 99}


# When it is saved


SAVED = {
    "as it is": ({"keep_last": 99}, [0, 4, 8, 12]),
    "every_epochs": ({"keep_last": 99, "every_epochs": 2}, [0, 8, 12]),
    "seldom": ({"keep_last": 99, "every_epochs": 50}, [0, 12]),
    "every_iterations": ({"keep_last": 99, "every_iterations": 3}, [0, 3, 4, 6, 8, 9, 12]),
    "every_iterations only": (
        {"keep_last": 99, "every_iterations": 5, "every_epochs": 50},
        [0, 5, 10, 12],
    ),
    "keep_last": ({}, [4, 8, 12]),
    "the last one only": ({"keep_last": 1}, [12]),
    "within epochs": ({"keep_last": 2, "every_iterations": 3}, [9, 12]),
}


@pytest.mark.parametrize("kind", SAVED)
def test_when_it_is_saved_and_what_is_kept(tmp_path: Path, plain: Session, kind: str) -> None:
    checkpoints, expected = SAVED[kind]
    session = made(tmp_path / "run", checkpoints)
    session.train()
    assert sorted(set(steps(session.path))) == expected
    assert same(load_session(tmp_path / "run"), plain)
    assert rows(session) == rows(plain)
    assert {p.name for p in (session.path / "checkpoints").iterdir()} == set(names(session.path))


class Waiting(Reporter):
    """Lets time pass after each iteration."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def iteration_done(self, live: Any) -> None:
        time.sleep(self.seconds)


def test_every_seconds(tmp_path: Path) -> None:
    often = {"every_seconds": 0.02, "every_epochs": 50, "keep_last": 99}
    session = made(tmp_path / "often", often)
    session.train(Waiting(0.03))
    assert len(set(steps(session.path))) > 6
    seldom = made(tmp_path / "seldom", {**often, "every_seconds": 3600.0})
    seldom.train(Waiting(0.0))
    assert steps(seldom.path) == [0, 12]
    assert same(session, seldom)


def test_a_stage_that_ends_is_saved(tmp_path: Path) -> None:
    config = toy_config()
    (stage,) = config["train"]["stages"]
    config["train"]["stages"] = [stage, stage]
    session = made(tmp_path / "run", {"every_epochs": 50, "keep_last": 99}, config)
    session.train()
    assert steps(session.path) == [0, 12, 24]


# A second state at one step


def test_a_second_state_at_one_step(tmp_path: Path) -> None:
    """Within the epoch, and after its validation: neither replaces the other at once."""
    session = made(tmp_path / "run", {"keep_last": 99, "every_iterations": 4})
    session.train()
    found = names(session.path)
    assert "0000000004" in found or "0000000004-1" in found
    assert found[-1] == "0000000012-1"
    for name in found:
        verified_manifest(session.path / "checkpoints" / name)
    again = load_session(tmp_path / "run")
    assert again.finished
    assert len(again.history) == 3


def test_of_two_states_at_one_step_the_later_counts(tmp_path: Path) -> None:
    session = made(tmp_path / "run")
    storage, checkpoints = session.folder.storage, session.folder.checkpoints
    folder = session.path / "checkpoints"
    for number in (1, 2):
        shutil.copytree(folder / "0000000000", folder / f"0000000000-{number}")
    assert storage.names() == ["0000000000", "0000000000-1", "0000000000-2"]
    assert checkpoints.newest().name == "0000000000-2"
    assert checkpoints.chosen("0", []).name == "0000000000-2"
    assert checkpoints.chosen("0000000000-1", []).name == "0000000000-1"
    prune(storage, "0000000000-2", 3, [Best("loss", "min", 1)])
    assert storage.names() == ["0000000000-2"]


@pytest.mark.parametrize("which", ["²", "9" * 5000, "-1", "", "0x0", "../0000000000"])
def test_what_no_checkpoint_is_called(tmp_path: Path, which: str) -> None:
    with pytest.raises(SessionError, match="there is no checkpoint"):
        made(tmp_path / "run").folder.checkpoints.chosen(which, [])


def test_more_than_nine_states_at_one_step(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for _ in range(12):
        folder.save(1, CheckpointBundle(), {})
    assert folder.names()[-2:] == ["0000000001-10", "0000000001-11"]


# Another storage


class InMemory(CheckpointStorage):
    """Checkpoints that are names and scores, and nothing on any disk."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, float]] = {}
        self.damaged: set[str] = set()

    def path(self, name: str) -> Path:
        return Path("nowhere", name)

    def names(self) -> list[str]:
        return sorted(self.stored, key=order_of)

    def save(
        self, step: int, bundle: Any, session: Any, scores: Any = None, logs: Any = None
    ) -> str:
        self.stored[f"{step:010d}"] = dict(scores or {})
        return f"{step:010d}"

    def write_rows(self, bundle: CheckpointBundle, rank: int, size: int) -> Path:
        raise AssertionError("one process saves")

    def write_aside(self, bundle: CheckpointBundle) -> None:
        raise AssertionError("nothing is large")

    def verified(self, name: str, with_history: bool = True) -> Checkpoint:
        if name in self.damaged:
            raise SessionError(f"{name} is damaged")
        return Checkpoint(Path(name), Manifest({}, {}), load(toy_config()))

    def scores(self, name: str) -> dict[str, float]:
        return self.stored[name]

    def has(self, name: str) -> bool:
        return name in self.stored

    def remove(self, name: str) -> None:
        del self.stored[name]

    def clear_unfinished(self) -> None:
        pass


def test_a_storage_may_be_another(capsys: pytest.CaptureFixture[str]) -> None:
    """What chooses and removes knows the interface only."""
    storage, best = InMemory(), Best("loss", "min", 1)
    for step, loss in enumerate([3.0, 1.0, 2.0, 4.0], start=1):
        newest = storage.save(step, CheckpointBundle(), {}, {"loss": loss})
        prune(storage, newest, 2, [best])
    assert [order_of(name)[0] for name in storage.names()] == [2, 3, 4]
    checkpoints = CheckpointSelector(storage, "memory")
    known = checkpoints.newest()
    assert checkpoints.newest(known) is known
    assert checkpoints.chosen("best", [best]).name == "0000000002"
    storage.damaged.add("0000000004")
    assert checkpoints.newest().name == "0000000003"
    assert "resuming from checkpoint 0000000003" in capsys.readouterr().err


# The best


def scored(folder: Path, scores: list[float], best: Best, keep_last: int = 1) -> LocalCheckpoints:
    """Checkpoints at the steps 1, 2, …, each pruned as the manager does it."""
    checkpoints = empty(folder)
    for step, score in enumerate(scores, start=1):
        finite = {"loss": score} if math.isfinite(score) else {}
        newest = checkpoints.save(step, CheckpointBundle(), {}, finite)
        prune(checkpoints, newest, keep_last, [best])
    return checkpoints


NAN = math.nan
KEPT = {
    "min": ([3.0, 1.0, 2.0, 4.0], Best("loss", "min", 1), [2, 4]),
    "max": ([3.0, 1.0, 5.0, 4.0], Best("loss", "max", 1), [3, 4]),
    "two": ([1.0, 3.0, 2.0, 4.0], Best("loss", "min", 2), [1, 3, 4]),
    "the earlier of equal ones": ([1.0, 1.0, 1.0], Best("loss", "min", 1), [1, 3]),
    "NaN is never best": ([2.0, NAN, NAN], Best("loss", "min", 1), [1, 3]),
    "NaN is never best of the largest": ([2.0, NAN, 1.0], Best("loss", "max", 1), [1, 3]),
    "no score at all": ([NAN, NAN, NAN], Best("loss", "min", 2), [3]),
    "infinity is never best": ([-math.inf, 2.0, 3.0], Best("loss", "min", 1), [2, 3]),
    "another column": ([1.0, 2.0, 3.0], Best("accuracy", "max", 1), [3]),
}


@pytest.mark.parametrize("kind", KEPT)
def test_which_are_kept_as_the_best(tmp_path: Path, kind: str) -> None:
    scores, best, expected = KEPT[kind]
    found = scored(tmp_path, scores, best).names()
    assert [int(name) for name in found] == expected


@given(
    st.lists(st.sampled_from([1.0, 2.0, 3.0, math.inf, math.nan, None])),
    st.sampled_from([1.0, 2.0, 3.0, math.nan, None]),
    st.integers(1, 4),
    st.sampled_from(["min", "max"]),
)
def test_whether_a_state_is_among_the_best(
    before: list[float | None], value: float | None, keep: int, mode: str
) -> None:
    best = Best("loss", mode, keep)
    ranks = [best.rank({"loss": one}) for one in before]
    rank = best.rank({"loss": value})
    known = BestRanks(best, [{"loss": one} for one in before])
    is_taken = rank < math.inf and sum(other <= rank for other in ranks) < keep
    stays = rank < math.inf and sum(other < rank for other in ranks) < keep
    assert known.would_take({"loss": value}) == is_taken
    known.add({"loss": value})
    assert known.keep({"loss": value}) == stays


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_epochs_of_a_run(tmp_path: Path, plain: Session, mode: str) -> None:
    """Saved although every_epochs would not have saved them."""
    best = {"monitor": "val loss", "mode": mode, "keep": 1}
    session = made(tmp_path / "run", {"keep_last": 1, "every_epochs": 50, "best": best})
    session.train()
    values = plain.history["val loss"].tolist()
    wanted = min(values) if mode == "min" else max(values)
    epoch = values.index(wanted) + 1
    assert sorted({4 * epoch, 12}) == steps(session.path)
    assert evaluate_config(tmp_path / "run", checkpoint="best") == {"val loss": wanted}
    assert evaluate_config(tmp_path / "run", checkpoint="last") == {"val loss": values[-1]}


def test_the_best_survives_a_cut(tmp_path: Path) -> None:
    """What was the best before is known after it."""
    best = {"monitor": "val loss", "mode": "max", "keep": 1}
    checkpoints = {"keep_last": 1, "every_epochs": 50, "best": best}
    whole = made(tmp_path / "whole", checkpoints)
    whole.train()
    cut(made(tmp_path / "run", checkpoints), 6)
    load_session(tmp_path / "run").train()
    assert steps(tmp_path / "run") == steps(whole.path)


def test_an_epoch_that_is_not_finite_is_not_the_best(tmp_path: Path) -> None:
    config = toy_config(points={"class": "toys.Points"}, mse=NAN_LOSS)
    best = {"monitor": "val loss", "mode": "min", "keep": 1}
    session = made(tmp_path / "run", {"keep_last": 1, "best": best}, config)
    session.train()
    assert session.history["val loss"].isna().tolist() == [True] * 3
    with pytest.raises(SessionError, match='no checkpoint has a score of "val loss"'):
        evaluate_config(tmp_path / "run", checkpoint="best")
    assert load_session(tmp_path / "run").finished


NAN_LOSS = {"class": "kept.NaNInEvaluation", "inputs": ["y_hat", "y"]}


# Which one is used


def test_a_step_that_is_not_there(plain: Session) -> None:
    for which in ("99", "worst", "-1", ""):
        with pytest.raises(SessionError, match=f'there is no checkpoint "{which}"'):
            evaluate_config(plain.path, checkpoint=which)
    with pytest.raises(SessionError, match='the config has no "best"'):
        evaluate_config(plain.path, checkpoint="best")


def test_each_step_has_its_own_weights(plain: Session) -> None:
    values = plain.history["val loss"].tolist()
    for epoch, value in enumerate(values, start=1):
        found = evaluate_config(plain.path, checkpoint=str(4 * epoch))
        assert found == {"val loss": value}


def test_a_chosen_one_that_is_damaged_is_not_replaced_by_another(
    tmp_path: Path, plain: Session
) -> None:
    shutil.copytree(plain.path, tmp_path / "run")
    damage(tmp_path / "run" / "checkpoints" / "0000000006")
    with pytest.raises(SessionError, match=r"0000000006 is damaged"):
        evaluate_config(tmp_path / "run", checkpoint="6")


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path, command: Command) -> None:
    best = {"monitor": "val loss", "mode": "max"}
    session = made(tmp_path / "run", {"keep_last": 2, "best": best})
    session.train()
    values = session.history["val loss"].tolist()
    done = command("evaluate.py", "run", "--json", "--checkpoint", "best")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"val loss": max(values)}
    done = command("evaluate.py", "run", "--checkpoint", "7")
    assert done.returncode == 2
    assert 'there is no checkpoint "7"; there are "best", "last", ' in done.stderr
    (tmp_path / "i.json").write_text(INFERENCE)
    done = command("infer.py", "i.json", "[1, 2]", "--checkpoint", "8")
    assert done.returncode == 0, done.stderr
    last, then = (load_session(tmp_path / "run", checkpoint=which) for which in ("last", "8"))
    options = json.loads(INFERENCE)
    del options["session_dir"]
    expected, other = (one.infer("[1, 2]", **options)[0]["y_hat"] for one in (then, last))
    printed = float(done.stdout.removeprefix("y_hat: [[").rstrip("]\n"))
    assert printed == pytest.approx(expected.item(), abs=1e-5)
    assert not torch.equal(expected, other)


INFERENCE = json.dumps(
    {
        "session_dir": "run",
        "inputs_meta": [{"input_converter": {"class": "JsonValue"}}],
        "results": ["y_hat"],
    }
)


# Damage


def damage(checkpoint: Path) -> None:
    path = checkpoint / "models" / "net.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_damaged_newest_one_never_costs_the_sound_one(
    tmp_path: Path, plain: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``keep_last`` 1 the sound one is the oldest, and goes when a newer one is sound."""
    shutil.copytree(plain.path, tmp_path / "run")
    for name in names(tmp_path / "run"):
        if int(name[:10]) > 6:
            damage(tmp_path / "run" / "checkpoints" / name)
    settings = ["checkpoints.keep_last=1", "checkpoints.every_iterations=1"]
    session = load_session(tmp_path / "run", settings=settings)
    said = capsys.readouterr().err
    assert "0000000007 is damaged" in said and "0000000012" in said
    assert "resuming from checkpoint 0000000006" in said
    for iterations in (1, 1, 1):
        cut(session, iterations)
        session = load_session(tmp_path / "run")
        verified_manifest(session.folder.checkpoints.newest().path)
    assert session.progress.step == 9
    session.train()
    assert same(session, plain)
    assert load_session(tmp_path / "run").finished


def test_nothing_is_sound(tmp_path: Path, plain: Session) -> None:
    shutil.copytree(plain.path, tmp_path / "run")
    for name in names(tmp_path / "run"):
        damage(tmp_path / "run" / "checkpoints" / name)
    with pytest.raises(SessionError) as caught:
        load_session(tmp_path / "run")
    assert len(caught.value.problems) == len(names(tmp_path / "run"))


# Saving that fails


class Failing:
    """Takes the place of a function of ``os``; some of its calls fail as on a full disk.

    Args:
        fails: Which calls fail, by their number from 1, once it is armed.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, name: str, fails: Callable[[int], bool]
    ) -> None:
        self.real = getattr(os, name)
        self.fails = fails
        self.calls = 0
        self.armed = False
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.armed:
            self.calls += 1
            if self.fails(self.calls):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*args, **kwargs)


def not_saved(session: Session) -> str:
    with pytest.raises(NotSaved) as caught:
        session.train()
    return str(caught.value)


def all_sound(session: Path) -> None:
    for name in names(session):
        verified_manifest(session / "checkpoints" / name)


@pytest.mark.parametrize("name", ["fsync", "rename"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_one_failure(
    tmp_path: Path,
    plain: Session,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    number: int,
) -> None:
    """Training goes on; it is told at once and at the end; what comes after is saved."""
    if name == "rename":
        number = (number + 1) // 4 + 1
    session = made(tmp_path / "run", {"keep_last": 99})
    failing = Failing(monkeypatch, name, lambda call: call == number)
    failing.armed = True
    said = not_saved(session)
    failing.armed = False
    assert "the state at step" in said and os.strerror(errno.ENOSPC) in said
    assert "training continues" in capsys.readouterr().err
    all_sound(tmp_path / "run")
    again = load_session(tmp_path / "run")
    assert again.progress.step in (8, 12)
    again.train()
    assert same(again, plain)
    assert rows(again) == rows(plain)


@pytest.mark.parametrize("name", ["fsync", "mkdir"])
def test_failures_for_ever(
    tmp_path: Path, plain: Session, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    session = made(tmp_path / "run")
    failing = Failing(monkeypatch, name, lambda call: True)
    failing.armed = True
    said = not_saved(session)
    assert [f"the state at step {step} could" in said for step in (4, 8, 12)] == [True] * 3
    failing.armed = False
    all_sound(tmp_path / "run")
    again = load_session(tmp_path / "run")
    assert again.progress.step == 0
    again.train()
    assert same(again, plain)
    assert rows(again) == rows(plain)


def test_failures_for_ever_from_the_middle_on(
    tmp_path: Path, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made(tmp_path / "run", {"keep_last": 1, "every_iterations": 1})
    failing = Failing(monkeypatch, "fsync", lambda call: call > 40)
    failing.armed = True
    not_saved(session)
    failing.armed = False
    all_sound(tmp_path / "run")
    again = load_session(tmp_path / "run")
    assert 0 < again.progress.step < 12
    again.train()
    assert same(again, plain)
    assert rows(again) == rows(plain)


def test_a_failure_where_the_run_is_stopped(
    tmp_path: Path, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said that the state is saved."""
    session = made(tmp_path / "run", {"every_epochs": 50})
    failing = Failing(monkeypatch, "fsync", lambda call: True)
    failing.armed = True
    reporter = Stopping(6)
    with pytest.raises(NotSaved, match="the state at step 6 could not be saved"):
        session.train(reporter, reporter.stop)
    failing.armed = False
    again = load_session(tmp_path / "run")
    assert again.progress.step == 0
    again.train()
    assert same(again, plain)


def test_what_could_not_be_saved_is_still_in_memory(
    tmp_path: Path, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is done: nothing else has the weights now."""
    session = made(tmp_path / "run")
    failing = Failing(monkeypatch, "fsync", lambda call: True)
    failing.armed = True
    not_saved(session)
    assert same(session, plain)


def test_a_session_whose_saving_failed_goes_on_in_memory(
    tmp_path: Path, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``train()`` once more, when there is room again, saves what is in memory or does it again."""
    session = made(tmp_path / "run")
    failing = Failing(monkeypatch, "fsync", lambda call: True)
    failing.armed = True
    not_saved(session)
    failing.armed = False
    session.train()
    again = load_session(tmp_path / "run")
    assert again.finished
    assert same(again, plain)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    """Whatever the reason is: the checkpoints are gone from under the run."""
    session = made(tmp_path / "run")

    class Moving(Reporter):
        def epoch_finished(self, progress: Any, row: Any) -> None:
            folder = session.path / "checkpoints"
            if progress.epoch == 2:
                wait_for_state(session)
                folder.rename(session.path / "moved")
                folder.write_text("")

    with pytest.raises((NotSaved, SessionError)):
        session.train(Moving())
    (tmp_path / "run" / "checkpoints").unlink()
    (tmp_path / "run" / "moved").rename(tmp_path / "run" / "checkpoints")
    again = load_session(tmp_path / "run")
    assert again.progress.epoch == 2
    again.train()
    assert again.finished


# The best by several monitors

SEVERAL = [{"monitor": "val loss", "mode": "max"}, {"monitor": "loss", "keep": 2}]


def test_the_best_by_several_monitors(tmp_path: Path) -> None:
    """Losses fall here: the largest is that of the first epoch, the smallest those of the last."""
    config = {"keep_last": 1, "every_epochs": 50, "best": SEVERAL}
    session = made(tmp_path / "run", config)
    session.train()
    rows = session.history.set_index("step")
    wanted = {"best": "val loss", "best-val loss": "val loss", "best-loss": "loss"}
    steps = {"val loss": rows["val loss"].idxmax(), "loss": rows["loss"].idxmin()}
    for which, monitor in wanted.items():
        chosen = session.folder.verified(which)
        assert order_of(chosen.name)[0] == steps[monitor]
        measured = evaluate_config(tmp_path / "run", checkpoint=which)["val loss"]
        assert measured == rows["val loss"][steps[monitor]]
    stayed = {order_of(name)[0] for name in session.folder.storage.names()}
    assert stayed == {steps["val loss"], *rows["loss"].nsmallest(2).index}


def test_the_best_by_several_monitors_survive_a_cut(tmp_path: Path) -> None:
    config = {"keep_last": 1, "every_epochs": 50, "best": SEVERAL}
    plain = made(tmp_path / "plain", config)
    plain.train()
    cut(made(tmp_path / "run", config), 5)
    cut(load_session(tmp_path / "run"), 4)
    session = load_session(tmp_path / "run")
    session.train()
    assert session.folder.storage.names() == plain.folder.storage.names()
    for which in ("best", "best-loss"):
        mine, theirs = (one.folder.verified(which) for one in (session, plain))
        assert mine.name == theirs.name
        assert mine.manifest.scores == theirs.manifest.scores


def test_which_of_several_bests_is_taken_is_told(tmp_path: Path, command: Command) -> None:
    session = made(tmp_path / "run", {"best": SEVERAL})
    session.train()
    step = session.history.set_index("step")["val loss"].idxmax()
    done = command("evaluate.py", "run", "--checkpoint", "best")
    assert done.stderr == (
        f'"best" is step {step}, the best by "val loss", the first monitor; there is "best-loss" '
        "too\n"
    )
    for which in ("best-val loss", "last"):
        assert command("evaluate.py", "run", "--checkpoint", which).stderr == ""


def test_a_best_checkpoint_of_no_monitor_is_told(tmp_path: Path) -> None:
    session = made(tmp_path / "run", {"best": SEVERAL})
    session.train()
    with pytest.raises(SessionError) as error:
        evaluate_config(session.path, checkpoint="best-los")
    assert '"best", "best-val loss", "best-loss", "last"' in str(error.value)


@pytest.mark.parametrize(
    ("best", "message"),
    [
        ([{"monitor": "loss"}, {"monitor": "loss", "mode": "max"}], r"best\[1\].*listed twice"),
        ([{"monitor": "loss"}, {"monitor": "vall loss"}], r'best\[1\].*did you mean "val loss"'),
        ([], "best"),
    ],
)
def test_monitors_of_a_list_are_checked(tmp_path: Path, best: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(tmp_path / "run", {"best": best})


def test_a_session_may_get_another_monitor(tmp_path: Path) -> None:
    """A list may take the place of the only one, and what was the best before is known."""
    session = made(tmp_path / "run", {"keep_last": 9, "best": SEVERAL[0]})
    session.train()
    more = [f"checkpoints.best={json.dumps(SEVERAL)}"]
    changed = load_session(session.path, settings=more)
    assert [best.monitor for best in changed.spec.checkpoints.bests] == ["val loss", "loss"]
