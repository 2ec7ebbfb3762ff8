"""SWA over batch norm: the average of the last epochs, with statistics of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    graph,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Runs, last_state
from torch.nn.functional import mse_loss
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, update_bn

from torchassistant import create_session, load_session
from torchassistant.session.requests.evaluation_run import evaluate_config

NET = layers(
    layer("Linear", 4, 6),
    layer("BatchNorm1d", 6, momentum=0.3),
    layer("Tanh"),
    layer("Linear", 6, 1),
)


def swa(epochs: int = 4, validation: bool = True, **average: Any) -> Config:
    """The config; what the head makes of the output of the net is not needed for statistics."""
    groups = {
        "datasets": {"points": part("Points", 18), "others": part("Points", 10, seed=1)},
        "loader_factories": {
            "batches": {"dataset": "points", "kwargs": {"batch_size": 4}},
            "others": loader("others"),
        },
        "models": {
            "net": NET,
            "head": layers(layer("Linear", 1, 1), layer("BatchNorm1d", 1)),
            "swa": {
                "average_of": "net",
                "kind": "swa",
                "interval": "epoch",
                "start": 1,
                **average,
            },
        },
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.05), ["net", "head"])},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [node("net", "x", "h", "sgd"), node("head", "h", "y_hat", "sgd")]
            }
        },
        "batch_graphs": {"whole": graph("in", run="in")},
    }
    pipelines = {
        "fit": {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]},
        "check": {
            "models": {"net": "swa"},
            "input_factories": [feed("others", "x y")],
            "losses": [loss("error", loss_display_name="val loss")],
        },
    }
    checks = ["check"] if validation else []
    return config(groups, pipelines, stage("fit", epochs=epochs, validation=checks))


def test_its_statistics_are_those_of_torchs_update_bn(tmp_path: Path) -> None:
    session = create_session(swa(), session_dir=tmp_path / "run")
    session.train()
    average = session.models["swa"]
    mine = {key: value.clone() for key, value in average.state_dict().items()}
    update_bn(batches_of(Points(18)), average)
    assert all(torch.equal(value, mine[key]) for key, value in average.state_dict().items())
    assert int(mine["1.num_batches_tracked"]) == 5
    assert average[1].momentum == 0.3  # type: ignore[index]
    other = session.models["head"][1].num_batches_tracked  # type: ignore[index]
    assert int(other) == 4 * 5


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    spec = swa()
    spec["initialize"]["definitions"][2]["spec"]["kwargs"]["shuffle"] = False
    twin = Twin(spec, tmp_path)
    net, head = twin.models["net"], twin.models["head"]
    mean = AveragedModel(net)
    optimizer = SGD([*net.parameters(), *head.parameters()], lr=0.05)
    for epoch in range(4):
        for x, y in batches_of(Points(18)):
            optimizer.zero_grad()
            mse_loss(head(net(x)), y).backward()
            optimizer.step()
        if epoch >= 1:
            mean.update_parameters(net)
    update_bn(batches_of(Points(18)), mean)
    twin.models["swa"].load_state_dict(mean.module.state_dict())
    twin.check()


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_every_cut_ends_in_the_same_bits(tmp_path: Path, interval: str) -> None:
    runs = Runs(swa(2, interval=interval, start=0), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(6)


def test_they_are_recomputed_where_they_are_needed_first(tmp_path: Path) -> None:
    """Nothing validates it: whoever evaluates the session does it, in a process of its own."""
    validated = create_session(swa(), session_dir=tmp_path / "validated")
    validated.train()
    expected = validated.history.iloc[-1]["val loss"]
    session = create_session(swa(validation=False), session_dir=tmp_path / "run")
    session.train()
    assert session.averages["swa"].is_stale
    stored = load_session(session.path)
    assert stored.averages["swa"].is_stale
    assert stored.evaluate(["check"]) == {"val loss": expected}
    assert not stored.averages["swa"].is_stale
    # Only what the pipeline needs is built here, and what recomputes the statistics.
    config_of_evaluation = tmp_path / "evaluation.json"
    asked = {"session_dir": str(session.path), "validation_pipelines": ["check"]}
    config_of_evaluation.write_text(json.dumps(asked))
    assert evaluate_config(config_of_evaluation) == {"val loss": expected}


def test_who_takes_their_weights_before_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, validation in (("validated", True), ("stale", False)):
        folder = tmp_path / name
        create_session(swa(validation=validation), session_dir=folder).train()
        taking = swa()
        for one in taking["initialize"]["definitions"]:
            if one["name"] == "net":
                weights = {"from": f"session:{folder}", "model": "swa"}
                one["spec"] = {**one["spec"], "weights": weights}
        capsys.readouterr()
        create_session(taking, session_dir=tmp_path / f"of {name}", preflight=False)
        load_session(folder, only=["models"])
        told = capsys.readouterr().err.count('statistics of the average "swa" of')
        assert told == (0 if validation else 2)


def test_a_pipeline_that_is_named(tmp_path: Path) -> None:
    spec = swa(update_bn="statistics")
    pipelines = spec["initialize"]["pipelines"]
    other = {"input_factories": [feed("others", "x y")], "losses": [loss("error")]}
    pipelines["statistics"] = {**other, "losses": [loss("error", loss_display_name="other loss")]}
    session = create_session(spec, session_dir=tmp_path / "run")
    session.train()
    average = session.models["swa"]
    mine = {key: value.clone() for key, value in average.state_dict().items()}
    update_bn(batches_of(Points(10, seed=1)), average)
    assert all(torch.equal(value, mine[key]) for key, value in average.state_dict().items())


def test_they_may_be_left_alone(tmp_path: Path) -> None:
    session = create_session(swa(update_bn=False), session_dir=tmp_path / "run")
    session.train()
    mine, theirs = session.models["swa"].state_dict(), session.models["net"].state_dict()
    assert torch.equal(mine["1.running_mean"], theirs["1.running_mean"])
    assert last_state(session.path)
