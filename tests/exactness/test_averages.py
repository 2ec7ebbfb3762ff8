"""Averages of models: as ``torch.optim.swa_utils`` makes them, to the bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    Weights,
    assert_equal,
    batches_of,
    feed,
    layer,
    layers,
    loader,
    loss,
    node,
    one_model,
    part,
    stage,
    weights,
)
from exact_parts import Points
from exact_runs import Runs
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError
from torchassistant.session.preflight import preflight

NORMED = layers(
    layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Tanh"), layer("Linear", 6, 1)
)


def averaged(
    average: Config | None = None, *stages: Config, net: Config = NORMED, **more: Any
) -> Config:
    """Regression, with an average of the model."""
    models = {"net": net, "mean": {"average_of": "net", **(average or {})}}
    groups = {"models": models, "loader_factories": {"batches": loader("points")}}
    return one_model({**groups, **more.pop("groups", {})}, *stages, **more)


def plain(
    net: nn.Module, mean: AveragedModel, interval: str = "step", epochs: int = 2, **how: int
) -> None:
    """The loop that torch's documentation shows."""
    optimizer = SGD(net.parameters(), lr=0.05)
    every, start, count = how.get("every", 1), how.get("start", 0), 0

    def follow(at: str) -> None:
        nonlocal count
        count += at == interval
        if at == interval and count > start and (count - start) % every == 0:
            mean.update_parameters(net)

    for _ in range(epochs):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
            follow("step")
        follow("epoch")


EMA = get_ema_multi_avg_fn(0.9)


@pytest.mark.parametrize(
    ("kind", "buffers", "interval", "when"),
    [
        ("ema", False, "step", {}),
        ("ema", True, "step", {"every": 2, "start": 1}),
        ("ema", False, "epoch", {"start": 1}),
        ("swa", False, "step", {"start": 1}),
        ("swa", True, "step", {}),
        ("swa", False, "epoch", {"every": 2, "start": 1}),
    ],
)
def test_they_are_torchs(
    tmp_path: Path, kind: str, buffers: bool, interval: str, when: dict[str, int]
) -> None:
    decay = {"decay": 0.9} if kind == "ema" else {}
    own = {"kind": kind, "interval": interval, "use_buffers": buffers, **decay, **when}
    twin = Twin(averaged(own, stage("fit", epochs=4)), tmp_path, preflight=False)
    net = twin.models["net"]
    mean = AveragedModel(net, multi_avg_fn=EMA if kind == "ema" else None, use_buffers=buffers)
    plain(net, mean, interval, 4, **when)
    twin.models["mean"].load_state_dict(mean.module.state_dict())
    twin.check()


def test_the_decay_warms_up(tmp_path: Path) -> None:
    twin = Twin(averaged({"decay": 0.7, "warmup": True}, stage("fit", epochs=4)), tmp_path)
    net, mean = twin.models["net"], twin.models["mean"]
    optimizer, n = SGD(net.parameters(), lr=0.05), 0
    for _ in range(4):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
            _blend(mean, net, 0.0 if n == 0 else min(0.7, (1 + n) / (10 + n)))
            n += 1
    twin.check()


def _blend(mean: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for average, current in zip(mean.parameters(), net.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
        for average, current in zip(mean.buffers(), net.buffers(), strict=True):
            average.copy_(current)


def test_the_first_update_may_blend(tmp_path: Path) -> None:
    twin = Twin(averaged({"decay": 0.7, "first": "blend"}), tmp_path)
    net, mean = twin.models["net"], twin.models["mean"]
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
            _blend(mean, net, 0.7)
    twin.check()


def test_it_begins_as_its_model(tmp_path: Path) -> None:
    session = create_session(averaged({"start": 100}), session_dir=tmp_path / "run")
    start = weights({"": session.models["net"]})
    assert_equal(weights({"": session.models["mean"]}), start)
    assert type(session.models["mean"]) is type(session.models["net"])
    session.train()
    assert_equal(weights({"": session.models["mean"]}), start)


def test_it_begins_with_weights_that_python_gave(tmp_path: Path) -> None:
    config = averaged({"decay": 0.9, "first": "blend"})
    session = create_session(config, session_dir=tmp_path / "run")
    with torch.no_grad():
        for parameter in session.models["net"].parameters():
            parameter.zero_()
    start = weights({"": session.models["net"]})
    other = create_session(
        averaged({"start": 100}), session_dir=tmp_path / "other", preflight=False
    )
    other.models["net"].load_state_dict(start[""])
    other.train()
    assert_equal(weights({"": other.models["mean"]}), start)


def test_an_accumulated_step_counts_once(tmp_path: Path) -> None:
    config = averaged({"decay": 0.9}, pipeline={"gradient_accumulation": 2})
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    assert session.averages["mean"].updates == session.progress.step == 4


def test_two_pipelines_that_train_one_model(tmp_path: Path) -> None:
    fit = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}
    config = averaged({}, stage("fit", "also", epochs=1), also=fit)
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    assert session.averages["mean"].updates == 6


def test_stages_that_train_another_model_do_not_count(tmp_path: Path) -> None:
    groups = {
        "optimizers": {
            "descent": {"class": "SGD", "kwargs": {"lr": 0.05}, "model": "net"},
            "other": {"class": "SGD", "kwargs": {"lr": 0.05}, "model": "next"},
        },
        "models": {
            "net": NORMED,
            "next": NORMED,
            "mean": {"average_of": "net", "interval": "epoch"},
            "steps": {"average_of": "net"},
        },
        "batch_processors": {
            "one": {"neural_graph": [node("net", "x", "y_hat", "descent")]},
            "two": {"neural_graph": [node("next", "x", "y_hat", "other")]},
        },
        "batch_graphs": {
            name: {"nodes": [name], "input_aliases": ["in"], "ingoing_edges": {name: ["in"]}}
            for name in ("one", "two")
        },
    }
    also = {
        "graph": "two",
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error")],
    }
    config = one_model(groups, stage("fit"), stage("also"), pipeline={"graph": "one"}, also=also)
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    assert session.averages["mean"].updates == 2
    assert session.averages["steps"].updates == 6


def test_tied_parameters_count_once(tmp_path: Path) -> None:
    config = averaged({"decay": 0.9}, net=part("Tied"))
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    mean = AveragedModel(net, multi_avg_fn=EMA)
    plain(net, mean)
    twin.models["mean"].load_state_dict(mean.module.state_dict())
    twin.check()
    average = twin.session.models["mean"]
    assert average.first.weight is average.second.weight  # type: ignore[union-attr]


TEACHING = {
    "batch_processors": {
        "run": {
            "neural_graph": [
                node("net", "x", "y_hat", "descent"),
                node("mean", "x", "taught"),
            ]
        }
    },
    "losses": {
        "error": {"class": "MSELoss", "inputs": ["y_hat", "y"]},
        "agreement": {"class": "MSELoss", "inputs": ["y_hat", "taught"]},
    },
}
TEACHERS = {
    "input_factories": [feed("batches", "x y")],
    "losses": [loss("error"), loss("agreement")],
}


def test_it_may_teach_its_model(tmp_path: Path) -> None:
    """In train mode, without gradient, and its buffers follow those of its model only."""
    config = averaged({"decay": 0.9}, groups=TEACHING, pipeline=TEACHERS)
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    mean = AveragedModel(net, multi_avg_fn=EMA)
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            with torch.no_grad():
                taught = copy.deepcopy(mean.module)(x)
            said = net(x)
            (mse_loss(said, y) + mse_loss(said, taught)).backward()
            optimizer.step()
            mean.update_parameters(net)
    twin.models["mean"].load_state_dict(mean.module.state_dict())
    twin.check()
    assert not any(p.requires_grad for p in twin.session.models["mean"].parameters())


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_every_cut_ends_in_the_same_bits(tmp_path: Path, kind: str, interval: str) -> None:
    check = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}
    config = averaged(
        {"kind": kind, "interval": interval},
        stage("fit", validation=["check"], epochs=2),
        groups=TEACHING,
        pipeline=TEACHERS,
        check={**check, "models": {"net": "mean"}, "losses": [_shown("error", "val")]},
    )
    runs = Runs(config, tmp_path)
    runs.check_cuts()
    runs.check_all_cuts_in_one()
    runs.check_cuts_in_validation(6)


def _shown(name: str, shown: str) -> Config:
    return loss(name, loss_display_name=shown)


def test_a_pipeline_runs_the_average_in_the_place_of_its_model(tmp_path: Path) -> None:
    check = {"input_factories": [feed("batches", "x y")]}
    config = averaged(
        {"decay": 0.9},
        stage("fit", validation=["mine", "theirs"], epochs=2),
        mine={**check, "models": {"net": "mean"}, "losses": [_shown("error", "mean error")]},
        theirs={**check, "losses": [_shown("error", "net error")]},
    )
    session = create_session(config, session_dir=tmp_path / "run")
    session.train()
    row = session.history.iloc[-1]
    for name, column in (("mean", "mean error"), ("net", "net error")):
        assert row[column] == pytest.approx(_error(session.models[name]), abs=0, rel=0)
    loaded = load_session(session.path)
    assert loaded.evaluate(["mine"]) == {"mean error": row["mean error"]}
    assert row["mean error"] != row["net error"]
    assert session.models["net"].training == session.models["mean"].training


def _error(model: nn.Module) -> float:
    model.eval()
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for x, y in batches_of(Points(10)):
            total += mse_loss(model(x), y).double() * len(x)
    model.train()
    return float(total / 10)


def test_scaled_steps_that_are_left_out_do_not_count(tmp_path: Path) -> None:
    config = {**averaged({}), "precision": "fp16"}
    session = create_session(config, session_dir=tmp_path / "run")
    scaler = session.pipelines["fit"].scaler
    if scaler is None or not scaler.is_enabled():
        pytest.skip("fp16 has no scaler here")
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0**40})
    session.train()
    assert session.averages["mean"].updates < session.progress.step


def test_a_batch_that_is_left_out_does_not_count(tmp_path: Path) -> None:
    config = {**averaged({}, groups={"datasets": {"points": part("Holed", 10)}})}
    config["on_nonfinite"] = "skip"
    session = create_session(config, session_dir=tmp_path / "run", preflight=False)
    session.train()
    assert session.progress.step == 6
    assert session.averages["mean"].updates == 4


def test_a_new_average_begins_with_its_model_as_it_is(tmp_path: Path) -> None:
    session = create_session(one_model(), session_dir=tmp_path / "run")
    session.train()
    new = '{"group": "models", "name": "mean", "spec": {"average_of": "net"}}'
    before = len(session.spec.initialize.definitions)
    loaded = load_session(session.path, settings=[f"initialize.definitions[{before}]={new}"])
    found = weights({"": loaded.models["mean"]})
    assert_equal(found, weights({"": session.models["net"]}))


def test_it_can_begin_anew(tmp_path: Path) -> None:
    session = create_session(averaged({"decay": 0.9}), session_dir=tmp_path / "run")
    session.train()
    average = session.averages["mean"]
    average.reset()
    assert average.counted == average.updates == 0
    assert_equal(weights({"": session.models["mean"]}), weights({"": session.models["net"]}))


def test_buffers_that_come_later(tmp_path: Path) -> None:
    config = averaged({"decay": 0.9}, net=part("Late"))
    session = create_session(config, session_dir=tmp_path / "run", preflight=False)
    session.train()
    net, mean = session.models["net"], session.models["mean"]
    assert torch.equal(mean.seen, net.seen)  # type: ignore[arg-type]
    assert torch.equal(mean.last, net.last)  # type: ignore[arg-type]
    load_session(session.path)


def test_what_the_preflight_says(tmp_path: Path) -> None:
    session = create_session(averaged({"decay": 0.9}, groups=TEACHING), session_dir=tmp_path / "r")
    report = preflight(session)
    assert report.models == ["mean: average of net (ema, decay 0.9, after each step)"]
    assert [(stage.trained, stage.untrained) for stage in report.stages] == [(["net"], [])]
    assert report.warnings == []


def test_compiled(tmp_path: Path) -> None:
    nodes = TEACHING["batch_processors"]["run"]["neural_graph"]
    compiled = [{**one, "compile": {"backend": "eager"}} for one in nodes]
    groups = {**TEACHING, "batch_processors": {"run": {"neural_graph": compiled}}}
    session = create_session(
        averaged({"decay": 0.9}, groups=groups, pipeline=TEACHERS), session_dir=tmp_path / "one"
    )
    session.train()
    other = create_session(
        averaged({"decay": 0.9}, groups=TEACHING, pipeline=TEACHERS), session_dir=tmp_path / "two"
    )
    other.train()
    assert_equal(weights(session.models), weights(other.models))


def problem_of(config: Config, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        create_session(config, session_dir=folder / "run")
    return str(caught.value)


def test_what_cannot_be_averaged(tmp_path: Path) -> None:
    models = {"net": NORMED, "other": NORMED, "mean": {"average_of": "other"}}
    assert 'no stage trains the model "other"' in problem_of(
        one_model(
            {
                "models": models,
                "batch_processors": {
                    "run": {"neural_graph": [node("net", "x", "y_hat", "descent")]}
                },
            }
        ),
        tmp_path,
    )
    lazy = layers(layer("LazyLinear", 1))
    assert "layers whose sizes are not known" in problem_of(averaged(net=lazy), tmp_path)
    assert "cannot be copied" in problem_of(averaged(net=part("Uncopied")), tmp_path)


def test_a_stage_may_let_it_begin_anew(tmp_path: Path) -> None:
    stages = [stage("fit"), stage("fit", reset=["averages.mean"])]
    twin = Twin(averaged({"decay": 0.9}, *stages), tmp_path)
    net = twin.models["net"]
    plain(net, AveragedModel(net, multi_avg_fn=EMA))
    mean = AveragedModel(net, multi_avg_fn=EMA)
    plain(net, mean)
    twin.models["mean"].load_state_dict(mean.module.state_dict())
    twin.check()
    assert twin.session.averages["mean"].updates == 6


def test_start_from_leaves_averages_alone_where_they_are_not_named(tmp_path: Path) -> None:
    def trained(name: str, **start: Any) -> Weights:
        begin = {"stage": 0, "checkpoint": "last", **start}
        stages = [stage("fit"), stage("fit"), stage("fit", epochs=1, start_from=begin)]
        session = create_session(averaged({"decay": 0.9}, *stages), session_dir=tmp_path / name)
        session.train()
        return weights(session.models)

    taken, kept, alone = (
        trained("taken", models=["net", "mean"]),
        trained("kept"),
        trained("alone", models=["net"]),
    )
    assert_equal(kept, alone)
    assert torch.equal(taken["net"]["0.weight"], kept["net"]["0.weight"])
    assert not torch.equal(taken["mean"]["0.weight"], kept["mean"]["0.weight"])
