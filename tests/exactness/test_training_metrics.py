"""Metrics over the epoch as it is trained on: against a plain loop, and cut anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import metric_parts
import pytest
import torch
import torchmetrics
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from metric_parts import Labelled
from torch import Tensor, nn
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError
from torchassistant.session import Session

NET = layers(layer("Linear", 4, 6), layer("Dropout", 0.5), layer("Linear", 6, 3))
ACCURACY = made("MulticlassAccuracy", 3)
METRICS: dict[str, Config] = {
    "acc": ACCURACY,
    "cm": made("MulticlassConfusionMatrix", 3),
    "top": made("metric_parts.TopK", k=2),
    "rates": made("metric_parts.errors"),
    "boot": made("BootStrapper", ACCURACY, num_bootstraps=3, sampling_strategy="multinomial"),
    "all": made(
        "torchmetrics.MetricCollection",
        {"p": made("MulticlassPrecision", 3), "r": made("MulticlassRecall", 3, average=None)},
    ),
    "area": made("MulticlassAUROC", 3),
    "range": made("MinMaxMetric", ACCURACY),
    "kept": made("metric_parts.Keeping"),
    "stated": made("metric_parts.Stated"),
}


def measured(
    *names: str,
    fit: Config | None = None,
    measures: Any = True,
    validation: list[str] | None = None,
    net: Config = NET,
    error: Config | None = None,
    optimizer: Config | None = None,
    metrics: dict[str, Config] | None = None,
    **of_stage: Any,
) -> Config:
    """Classification, with metrics that are measured in training."""
    known = METRICS | (metrics or {})
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": made("metric_parts.Labelled", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": net},
        "optimizers": {"descent": trained_by(optimizer or made("SGD", lr=0.5), "net")},
        "losses": {"error": {**(error or made("CrossEntropyLoss")), "inputs": ["said", "y"]}},
        "metrics": {name: {**known[name], "inputs": ["said", "y"]} for name in names},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "said", "descent")]}},
    }
    feeds = {"input_factories": [feed("batches", "x y")]}
    of_pipeline = [{"metric_name": name} for name in names]
    pipelines = {
        "fit": {**feeds, "losses": [loss("error")], "metrics": of_pipeline, **(fit or {})},
        "check": {
            **feeds,
            "losses": [loss("error", loss_display_name="val")],
            "metrics": of_pipeline,
        },
    }
    validation = ["check"] if validation is None else validation
    return config(
        groups,
        pipelines,
        stage("fit", validation=validation, measure_training=measures, **of_stage),
    )


def trained(spec: Config, folder: Path, preflight: bool = True) -> Session:
    session = create_session(spec, session_dir=folder / "session", preflight=preflight)
    session.train()
    return session


@pytest.mark.parametrize("preflight", [True, False])
def test_it_equals_the_plain_loop(tmp_path: Path, preflight: bool) -> None:
    spec = measured("acc", "cm", "top", "kept", "all", validation=[])
    twin = Twin(spec, tmp_path, preflight)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.5)
    top, kept = metric_parts.TopK(2), metric_parts.Keeping()
    of_torch = torchmetrics.MetricCollection(
        {
            "acc": torchmetrics.classification.MulticlassAccuracy(3),
            "cm": torchmetrics.classification.MulticlassConfusionMatrix(3),
            "p": torchmetrics.classification.MulticlassPrecision(3),
            "r": torchmetrics.classification.MulticlassRecall(3, average=None),
        }
    )
    for epoch in range(2):
        for metric in (of_torch, top, kept):
            metric.reset()
        for x, y in batches_of(Labelled(10)):
            optimizer.zero_grad()
            said = net(x)
            nn.functional.cross_entropy(said, y).backward()
            optimizer.step()
            for metric in (of_torch, top, kept):
                metric.update(said.detach(), y)
        row, whole = twin.session.rows.rows(0)[epoch], of_torch.compute()
        assert row["acc"] == whole["acc"].item()
        assert row["all/p"] == whole["p"].item()
        assert [row[f"all/r/{index}"] for index in range(3)] == whole["r"].tolist()
        assert {key: row[f"top/{key}"] for key in ("accuracy", "rank")} == top.compute()
        counted = kept.compute()
        matrix = counted.pop("matrix")
        assert {key: row[f"kept/{key}"] for key in counted} == {
            key: float(value) for key, value in counted.items()
        }
        assert torch.equal(twin.session.data("cm")[epoch].value, whole["cm"])
        assert torch.equal(twin.session.data("kept/matrix")[epoch].value, matrix)
    twin.check()


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    runs = Runs(measured(*METRICS), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(2)
    session = load_session(runs.plain)
    shown = list(session.history)
    assert {"fit acc", "acc", "fit boot/std", "fit top/rank", "top/rank"} <= set(shown)
    names = {name for row in session.data("fit cm") for name in [row.step]}
    assert names == {3, 6}
    assert not torch.equal(session.data("cm")[0].value, session.data("fit cm")[0].value)


def test_a_cut_in_a_validation_within_an_epoch_loses_nothing(tmp_path: Path) -> None:
    spec = measured("acc", "boot", validation=["check"], validate={"every_iterations": 2})
    runs = Runs(spec, tmp_path)
    runs.check_cuts_in_validation(4)
    assert load_session(runs.plain).history["acc"].notna().all()


def test_training_is_as_without_it(tmp_path: Path) -> None:
    """Though a metric draws random numbers, as the net does."""
    plain = trained(measured(*METRICS, measures=False), tmp_path / "plain")
    with_it = trained(measured(*METRICS), tmp_path / "measured")
    for mine, theirs in zip(
        plain.models["net"].parameters(), with_it.models["net"].parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)
    assert list(plain.history["acc"]) == list(with_it.history["acc"])
    assert "fit acc" not in plain.history


def test_some_are_measured(tmp_path: Path) -> None:
    session = trained(measured("acc", "cm", "top", measures=["top"], validation=[]), tmp_path)
    assert [c for c in session.history if c.startswith(("acc", "top"))] == [
        "top/accuracy",
        "top/rank",
    ]
    assert not list((session.path / "metrics").glob("*.safetensors"))


LINEAR = layer("Linear", 4, 3)


def batches_and_rows(folder: Path, **spec: Any) -> list[dict[str, Any]]:
    return trained(measured("kept", validation=[], **spec), folder).rows.rows(0)


def test_accumulated_batches_are_all_measured(tmp_path: Path) -> None:
    rows = batches_and_rows(tmp_path, fit={"gradient_accumulation": 2})
    assert [row["kept/batches"] for row in rows] == [3.0, 3.0]
    assert [row["kept/rows"] for row in rows] == [10.0, 10.0]


@pytest.mark.parametrize("accumulated", [1, 3])
def test_batches_that_are_left_out_are_not_measured(tmp_path: Path, accumulated: int) -> None:
    rows = batches_and_rows(
        tmp_path,
        error=made("metric_parts.SometimesInfinite"),
        fit={"gradient_accumulation": accumulated},
        on_nonfinite="skip",
    )
    expected = [8.0, 8.0] if accumulated == 1 else [None, None]
    assert [row["kept/rows"] for row in rows] == expected


def test_a_closure_is_measured_at_its_first_call(tmp_path: Path) -> None:
    spec = measured(
        "mean",
        validation=[],
        net=LINEAR,
        optimizer=made("LBFGS", lr=0.1, max_iter=3),
        metrics={"mean": made("metric_parts.Stated")},
    )
    twin = Twin(spec, tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3)
    for epoch in range(2):
        mean = metric_parts.Stated()
        for x, y in batches_of(Labelled(10)):

            def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
                optimizer.zero_grad()
                error = nn.functional.cross_entropy(net(x), y)
                error.backward()
                return error

            with torch.no_grad():
                mean.update(net(x), y)
            optimizer.step(closure)
        assert twin.session.rows.rows(0)[epoch]["mean"] == mean.compute()
    twin.check()


def test_a_step_of_ones_own_is_measured(tmp_path: Path) -> None:
    step = {"train_step": {"class": "metric_parts.Step"}}
    plain = trained(measured("stated", "kept", validation=[], net=LINEAR), tmp_path / "plain")
    own = trained(measured("stated", "kept", validation=[], net=LINEAR, fit=step), tmp_path / "own")
    for column in ("stated", "kept/rows", "kept/mean"):
        assert list(own.history[column]) == list(plain.history[column])


def test_rows_within_an_epoch_tell_of_what_came_since_the_one_before(tmp_path: Path) -> None:
    spec = measured("kept", "cm", validate={"every_iterations": 2, "at_start": True}, epochs=2)
    runs = Runs(spec, tmp_path)
    rows = load_session(runs.plain).rows.rows(0)
    assert [row["step"] for row in rows] == [0, 2, 3, 4, 6]
    assert [row["fit kept/batches"] for row in rows] == [None, 2.0, 1.0, 1.0, 2.0]
    runs.check_cuts()
    steps = [row.step for row in load_session(runs.plain).data("fit cm")]
    assert steps == [2, 3, 4, 6]


def test_steps_that_repeat_are_measured(tmp_path: Path) -> None:
    runs = Runs(measured("kept", "boot", validation=[], epoch_length=2, epochs=3), tmp_path)
    rows = load_session(runs.plain).rows.rows(0)
    assert [row["kept/batches"] for row in rows] == [2.0, 2.0, 2.0]
    runs.check_all_cuts_in_one()


def test_it_can_be_monitored(tmp_path: Path) -> None:
    spec = measured("acc", stop_condition=made("TargetReached", "fit acc", 0.0, mode="max"))
    spec["checkpoints"] = {"best": {"monitor": "fit acc", "mode": "max"}}
    assert len(trained(spec, tmp_path).history) == 1


WRONG: dict[str, tuple[Config, str]] = {
    "a name": (measured("acc", measures=["ac"]), 'shown as "ac"; did you mean "acc"?'),
    "no metric": (measured(), "no training pipeline of this stage has a metric"),
    "nothing": (measured("acc", measures=[]), "it names nothing"),
    "validated too": (
        measured("acc", validation=["fit"]),
        '"fit" is validated in this stage too, and its rows show that',
    ),
    "a name of what is validated too": (
        measured("acc", measures=["acc"], validation=["fit"]),
        'shown as "acc", but for "fit", which is validated in this stage too',
    ),
    "a monitor": (
        measured("acc", stop_condition=made("EarlyStopping", "fit ac")),
        'no row of this stage has "fit ac"; did you mean "fit acc"?',
    ),
    "what cannot be stored": (
        measured("hoard", metrics={"hoard": made("metric_parts.Hoarding")}),
        'the metric "hoard" keeps a Meter in "meters.0", which cannot be stored',
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, what: str) -> None:
    spec, message = WRONG[what]
    with pytest.raises(ConfigError) as raised:
        create_session(spec, session_dir=tmp_path / "s")
    (problem,) = raised.value.problems
    assert message in problem.message


def test_what_a_stage_measures_is_fixed(tmp_path: Path) -> None:
    path = Runs(measured("acc", "top"), tmp_path).cut("cut", iteration=2).path
    with pytest.raises(ConfigError, match="it decides which columns a stage has"):
        load_session(path, settings=["train.stages[0].measure_training=false"])


def test_a_state_that_does_not_fit_is_told(tmp_path: Path) -> None:
    session = Runs(measured("kept"), tmp_path).cut("cut", iteration=2)
    assert session.progress.within is not None
    states = session.progress.within.passes["fit"].metrics["metrics"]
    states["kept"]["data"]["/unknown"] = {}
    with pytest.raises(
        DataError, match='the state of the metric "kept" in this epoch does not fit'
    ):
        session.train()
