"""Validation within epochs: its rows, what counts them, and that it changes nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    assert_equal,
    batches_of,
    feed,
    loader,
    loss,
    made,
    one_model,
    part,
    stage,
    trained_by,
    weights,
)
from exact_parts import Points, Told
from exact_runs import Runs, last_state
from test_training_is_undisturbed import sensitive
from torch.nn.functional import mse_loss
from torch.utils.data import IterableDataset

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError
from torchassistant.session import Session
from torchassistant.session.preflight import preflight
from torchassistant.training import Progress, Reporter, Row, StageHistory

HERE = __name__


class Stream(IterableDataset[Any]):
    """The same points, of which nobody says how many there are."""

    def __iter__(self) -> Iterator[Any]:
        points = Points(12)
        yield from (points[index] for index in range(len(points)))


class Asked:
    """Notes when it is asked; the last row, and whether that ends in an epoch."""

    asked_within_epoch = True

    def __init__(self, epochs: int, at_iteration: int = 0) -> None:
        self.epochs, self.at_iteration = epochs, at_iteration
        self.told: list[tuple[int, Any, bool]] = []

    def __call__(self, epoch: int, history: StageHistory) -> bool:
        self.told.append((epoch, history[-1]["step"], history.ends_in_epoch))
        if history.ends_in_epoch:
            return history.iterations == self.at_iteration
        return epoch >= self.epochs


def validated(
    *stages: Config, data: str = "points", optimizer: Config | None = None, **more: Any
) -> Config:
    """Three iterations an epoch, of four points each; ``held out`` is measured in validation."""
    groups = {
        "datasets": {
            "points": part("Points", 12),
            "stream": made(f"{HERE}.Stream"),
            "others": part("Points", 6, seed=1),
        },
        "loader_factories": {"batches": loader(data), "tests": loader("others")},
        "optimizers": {"descent": optimizer or trained_by(made("SGD", lr=0.05), "net")},
    }
    check = {
        "input_factories": [feed("tests", "x y")],
        "losses": [loss("error", loss_display_name="held out")],
    }
    whole = one_model(groups, *stages, check=check)
    return {**whole, **more}


def plan(epochs: int = 2, stop: Config | None = None, **plan: Any) -> Config:
    found = stage("fit", epochs=epochs, validation=["check"], validate=plan)
    return {**found, "stop_condition": stop} if stop else found


def trained(config: Config, folder: Path, reporter: Reporter | None = None) -> Session:
    session = create_session(config, session_dir=folder, preflight=False)
    session.train(reporter)
    return session


def cells(session: Session, stage: int = 0) -> list[tuple[Any, ...]]:
    """Epoch and step of each row, and whether there is a training and a validation loss."""
    return [
        (row["epoch"], row["step"], row["error"] is not None, row["held out"] is not None)
        for row in session.rows.rows(stage)
    ]


BOTH = (True, True)


@pytest.mark.parametrize("data", ["points", "stream"])
@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({}, [(1, 3, *BOTH), (2, 6, *BOTH)]),
        ({"every_epochs": 2}, [(1, 3, True, False), (2, 6, *BOTH)]),
        ({"every_epochs": None, "at_start": True}, [
            (1, 0, False, True), (1, 3, True, False), (2, 6, True, False)
        ]),
        ({"every_iterations": 2}, [(1, 2, *BOTH), (1, 3, *BOTH), (2, 4, *BOTH), (2, 6, *BOTH)]),
        ({"every_iterations": 3}, [(1, 3, *BOTH), (2, 6, *BOTH)]),
        ({"every_iterations": 3, "every_epochs": None}, [(1, 3, *BOTH), (2, 6, *BOTH)]),
        ({"every_iterations": 2, "every_epochs": None}, [
            (1, 2, *BOTH), (1, 3, True, False), (2, 4, *BOTH), (2, 6, *BOTH)
        ]),
        ({"every_iterations": 4, "at_start": True, "every_epochs": 2}, [
            (1, 0, False, True), (1, 3, True, False), (2, 4, *BOTH), (2, 6, *BOTH)
        ]),
    ],
)  # fmt: skip
def test_the_rows_of_a_plan(
    tmp_path: Path, data: str, keys: dict[str, Any], rows: list[tuple[Any, ...]]
) -> None:
    session = trained(validated(plan(**keys), data=data), tmp_path / "session")
    assert cells(session) == rows
    assert session.progress.epoch == 2


def test_cells_are_what_a_loop_measures(tmp_path: Path) -> None:
    twin = Twin(validated(plan(every_iterations=2, at_start=True, every_epochs=2)), tmp_path)
    net = twin.models["net"]
    others = list(batches_of(Points(6, seed=1)))

    def held_out() -> float:
        with torch.no_grad():
            return sum(mse_loss(net(x), y).item() * len(x) for x, y in others) / 6

    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    expected: list[tuple[float | None, float | None]] = [(None, held_out())]
    since: list[float] = []
    step = 0
    for _ in range(2):
        for x, y in batches_of(Points(12)):
            optimizer.zero_grad()
            value = mse_loss(net(x), y)
            value.backward()
            optimizer.step()
            since.append(value.item())
            step += 1
            if step % 2 == 0 or step == 3:
                validates = step % 2 == 0
                mean = sum(item * 4 for item in since) / (4 * len(since))
                expected.append((mean, held_out() if validates else None))
                since.clear()
    twin.check()
    rows = twin.session.rows.rows(0)
    assert [(row["error"], row["held out"]) for row in rows] == expected


def test_an_empty_cell_is_empty_in_the_file_and_nan_in_the_table(tmp_path: Path) -> None:
    config = validated(plan(every_epochs=None, at_start=True))
    session = trained(config, tmp_path / "session")
    lines = (tmp_path / "session/metrics/0.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "0"], ["1", "3"], ["2", "6"]]
    header = lines[0].split(",")
    first, second = (dict(zip(header, line.split(","), strict=True)) for line in lines[1:3])
    assert first["error"] == "" and float(first["held out"]) > 0
    assert second["held out"] == "" and float(second["error"]) > 0
    table = session.history
    assert math.isnan(table.loc[0, "error"]) and math.isnan(table.loc[1, "held out"])
    assert str(table["error"].dtype) == "float64"


def test_seconds_are_those_since_the_row_before(tmp_path: Path) -> None:
    session = trained(validated(plan(every_iterations=1)), tmp_path / "session")
    seconds = [row["seconds"] for row in session.rows.rows(0)]
    assert len(seconds) == 6 and all(value is not None and 0 <= value < 20 for value in seconds)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_disturbs_nothing(tmp_path: Path, workers: int) -> None:
    found = []
    for name, keys in (("with", {"every_iterations": 1, "at_start": True}), ("without", {})):
        whole = stage("fit", epochs=2, validation=["check"], validate=keys)
        session = trained(sensitive(whole, workers=workers), tmp_path / name)
        found.append((weights(session.models), session.rows.rows(0)[-1]["held out"]))
    assert_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_it_is_resumed_from_any_cut(tmp_path: Path) -> None:
    whole = stage(
        "fit", epochs=2, validation=["check"], validate={"every_iterations": 2, "at_start": True}
    )
    runs = Runs(sensitive(whole), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(15)
    runs.check_all_cuts_in_one()


def test_a_stream_is_resumed_from_any_cut(tmp_path: Path) -> None:
    runs = Runs(validated(plan(every_iterations=3, at_start=True), data="stream"), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(6)


def test_a_validation_at_the_end_of_a_stream(tmp_path: Path) -> None:
    """Schedulers, the best state and the rows are those of data whose length is known."""
    never = made("ReduceLROnPlateau", patience=0, threshold=1.0, factor=0.5)
    descent = {**made("SGD", lr=0.05), "model": "net"}
    descent["lr_scheduler"] = {**never, "monitor": "held out"}
    best = {"best": {"monitor": "held out", "mode": "max"}}
    sessions = {}
    for data in ("points", "stream"):
        whole = plan(3, every_iterations=3)
        config = validated(whole, data=data, optimizer=descent, checkpoints=best)
        sessions[data] = trained(config, tmp_path / data)
    points, stream = sessions["points"], sessions["stream"]
    assert points.history.drop(columns="seconds").equals(stream.history.drop(columns="seconds"))
    assert stream.history["step"].tolist() == [3, 6, 9]
    assert stream.optimizers["descent"].param_groups[0]["lr"] == 0.05 / 2**3
    assert_equal(weights(points.models), weights(stream.models))
    of_best = [load_session(tmp_path / data, checkpoint="best") for data in sessions]
    assert of_best[0].progress.step == of_best[1].progress.step
    assert_equal(*(weights(session.models) for session in of_best))


def test_turns_are_validated_within_epochs(tmp_path: Path) -> None:
    entry = {"pipeline": "fit", "repeat": 2}
    found = plan(every_iterations=1) | {"training_pipelines": [entry], "epoch_length": 2}
    runs = Runs(validated(found), tmp_path)
    session = load_session(runs.plain)
    assert [row["step"] for row in session.rows.rows(0)] == [1, 2, 3, 4]
    assert [row["epoch"] for row in session.rows.rows(0)] == [1, 1, 2, 2]
    runs.check_cuts()


def test_accumulated_batches_are_one_iteration(tmp_path: Path) -> None:
    config = validated(plan(every_iterations=1))
    config["initialize"]["pipelines"]["fit"]["gradient_accumulation"] = 2
    assert cells(trained(config, tmp_path / "session")) == [
        (1, 1, *BOTH), (1, 2, *BOTH), (2, 3, *BOTH), (2, 4, *BOTH),
    ]  # fmt: skip


# What counts rows


def test_when_a_stop_condition_is_asked(tmp_path: Path) -> None:
    found = plan(every_iterations=2, stop=made(f"{HERE}.Asked", 2))
    session = trained(validated(found), tmp_path / "session")
    assert session.stages[0].stop_condition.told == [
        (1, 2, True), (1, 3, False), (2, 4, True), (2, 6, False),
    ]  # fmt: skip


def test_a_condition_that_does_not_say_so_is_asked_after_epochs(tmp_path: Path) -> None:
    found = plan(every_iterations=1, stop=part("Told", 2))
    Told.calls.clear()
    session = trained(validated(found), tmp_path / "session")
    assert [(epoch, len(rows)) for epoch, rows in Told.calls] == [(1, 3), (2, 6)]
    assert session.finished


@pytest.mark.parametrize(
    "stop",
    [
        made("IterationsCompleted", 4),
        made("AnyOf", [made("EpochsCompleted", 9), made("IterationsCompleted", 4)]),
        made("AllOf", [made("TimeElapsed", 1e-9), made("IterationsCompleted", 4)]),
    ],
)
def test_a_stage_may_end_within_an_epoch(tmp_path: Path, stop: Config) -> None:
    """The epoch counts: the next stage begins with another one."""
    schedule = made("StepLR", step_size=1, gamma=0.1)
    optimizer = {**trained_by(made("SGD", lr=0.05), "net"), "lr_scheduler": schedule}
    config = validated(plan(every_iterations=2, stop=stop), plan(epochs=1), optimizer=optimizer)
    runs = Runs(config, tmp_path)
    session = load_session(runs.plain)
    assert cells(session) == [(1, 2, *BOTH), (1, 3, *BOTH), (2, 4, *BOTH)]
    assert cells(session, 1) == [(3, 7, *BOTH)]
    # After the first epoch and that of the second stage; not after the one that was left.
    assert session.optimizers["descent"].param_groups[0]["lr"] == pytest.approx(0.05 * 0.1**2)
    runs.check_cuts()


def test_all_of_several_wait_for_one_that_is_asked_after_epochs(tmp_path: Path) -> None:
    stop = made("AllOf", [made("EpochsCompleted", 1), made("IterationsCompleted", 2)])
    session = trained(validated(plan(every_iterations=2, stop=stop)), tmp_path / "session")
    assert cells(session) == [(1, 2, *BOTH), (1, 3, *BOTH)]


def test_a_plateau_is_heard_of_at_ends_of_epochs_that_have_a_value(tmp_path: Path) -> None:
    plateau = made("ReduceLROnPlateau", patience=0, threshold=1e9)
    scheduler = {**plateau, "monitor": "held out"}
    optimizer = {**trained_by(made("SGD", lr=0.05), "net"), "lr_scheduler": scheduler}
    found = plan(epochs=4, every_epochs=2, every_iterations=5)
    session = trained(validated(found, optimizer=optimizer), tmp_path / "session")
    assert session.rows.rows(0)[1]["step"] == 5
    assert session.schedulers["descent"].scheduler.last_epoch == 2


def test_the_best_may_be_within_an_epoch(tmp_path: Path) -> None:
    config = validated(
        plan(epochs=2, every_iterations=1),
        optimizer=trained_by(made("SGD", lr=0.05, maximize=True), "net"),
        checkpoints={"keep_last": 1, "best": {"monitor": "held out"}},
    )
    runs = Runs(config, tmp_path)
    rows = load_session(runs.plain).rows.rows(0)
    values = [row["held out"] for row in rows]
    assert values[0] == min(value for value in values if value is not None)
    names = sorted(path.name for path in (runs.plain / "checkpoints").iterdir())
    assert names == ["0000000001", "0000000006"]
    best = load_session(runs.plain, checkpoint="best")
    assert best.progress.step == 1
    assert best.evaluate(["check"])["held out"] == values[0]
    # A run that is cut, and saved again, right after the best row keeps it.
    for iteration in (1, 2):
        session = runs.cut(f"best {iteration}", iteration=iteration)
        session.train()
        assert last_state(session.path) == last_state(runs.plain)
        assert load_session(session.path, checkpoint="best").progress.step == 1


class Lines(Reporter):
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def row_added(self, progress: Progress, row: Row) -> None:
        self.seen.append(("within", row["step"]))

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self.seen.append(("end", row["step"]))


def test_who_listens_hears_of_each_row(tmp_path: Path) -> None:
    lines = Lines()
    trained(validated(plan(every_iterations=2)), tmp_path / "session", lines)
    assert lines.seen == [("within", 2), ("end", 3), ("within", 4), ("end", 6)]


# What is wrong


def problems(config: Config, tmp_path: Path) -> dict[str, str]:
    with pytest.raises(ConfigError) as raised:
        create_session(config, session_dir=tmp_path / "session")
    return {problem.place.path: problem.message for problem in raised.value.problems}


NEVER = {"every_epochs": None}


def test_a_monitor_that_is_never_there(tmp_path: Path) -> None:
    found = plan(stop=made("EarlyStopping", monitor="held out"), **NEVER)
    told = problems(validated(found), tmp_path)
    assert list(told) == ["train.stages[0].stop_condition.kwargs.monitor"]
    assert "measured in validation only" in told.popitem()[1]


def test_a_best_that_is_never_there(tmp_path: Path) -> None:
    checkpoints = {"best": {"monitor": "held out"}}
    told = problems(validated(plan(**NEVER), checkpoints=checkpoints), tmp_path)
    assert "checkpoints.best.monitor" in told


def test_a_plateau_that_no_end_of_an_epoch_tells_of(tmp_path: Path) -> None:
    scheduler = {**made("ReduceLROnPlateau"), "monitor": "held out"}
    optimizer = {**trained_by(made("SGD", lr=0.05), "net"), "lr_scheduler": scheduler}
    found = plan(every_epochs=None, at_start=True)
    told = problems(validated(found, optimizer=optimizer), tmp_path)
    (place,) = told
    assert place.endswith("lr_scheduler.monitor")


def test_validation_that_is_never_done(tmp_path: Path) -> None:
    told = problems(validated(plan(**NEVER)), tmp_path)
    assert told == {
        "train.stages[0].validate": "with this the validation pipelines of the stage are never run"
    }


def test_left_out_a_condition_listens_to_nothing_that_is_never_there(tmp_path: Path) -> None:
    found = plan(every_epochs=None, at_start=True)
    del found["stop_condition"]
    session = create_session(validated(found), session_dir=tmp_path / "session", preflight=False)
    assert type(session.stages[0].stop_condition).__name__ == "EpochsCompleted"


@pytest.mark.parametrize(
    ("keys", "length"),
    [
        ({"every_epochs": 3}, "2 epochs"),
        ({"every_epochs": None, "every_iterations": 7}, "6 iterations"),
        ({"every_epochs": None, "every_iterations": 6}, None),
        ({"every_epochs": 2}, None),
        ({"every_epochs": 3, "at_start": True}, None),
    ],
)
def test_a_stage_that_is_too_short_for_its_plan(
    tmp_path: Path, keys: dict[str, Any], length: str | None
) -> None:
    session = create_session(validated(plan(2, **keys)), session_dir=tmp_path / "run")
    told = [(w.place.path, w.message) for w in preflight(session).warnings if w.place]
    never = f"the validation pipelines are never run: this stage has {length}"
    assert told == ([("train.stages[0].validate", never)] if length else [])


def test_the_plan_may_change_in_a_session(tmp_path: Path) -> None:
    trained(validated(plan(epochs=1)), tmp_path / "session")
    settings = [
        "train.stages[0].stop_condition.args[0]=2", "train.stages[0].validate.every_iterations=2",
    ]  # fmt: skip
    session = load_session(tmp_path / "session", settings=settings)
    session.train()
    assert cells(session) == [(1, 3, *BOTH), (2, 4, *BOTH), (2, 6, *BOTH)]
