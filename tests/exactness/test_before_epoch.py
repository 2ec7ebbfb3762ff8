"""What runs before each epoch of a stage: in order, once, and again to the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from before_epoch_parts import Noted
from exact_configs import (
    Config,
    Twin,
    batches_of,
    feed,
    fit,
    graph,
    layer,
    loader,
    made,
    node,
    one_model,
    stage,
)
from exact_parts import Points
from exact_runs import Runs

from torchassistant import create_session, load_session
from torchassistant.data import derived
from torchassistant.errors import ConfigError, UserCodeError

HERE = "before_epoch_parts"
CALLBACKS = {"shake": {"class": f"{HERE}.shake"}, "shrink": made(f"{HERE}.Shrink", 0.5)}


def running(*names: str, epochs: int = 3) -> Config:
    groups = {"models": {"net": layer("Linear", 4, 1)}, "callbacks": CALLBACKS}
    return one_model(groups, stage("fit", epochs=epochs, run_before_epoch=list(names)))


def test_functions_are_called_in_order_before_each_epoch(tmp_path: Path) -> None:
    twin = Twin(running("shake", "shrink"), tmp_path)
    net = twin.models["net"]
    descent = torch.optim.SGD(net.parameters(), lr=0.05)
    for epoch in (1, 2, 3):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(derived(11, "before epoch", "shake", epoch))
            net.weight.add_(0.01 * epoch * torch.rand(net.weight.shape))
            net.weight.mul_(0.5)
        fit(net, descent, batches_of(Points(10)), epochs=1)
    twin.check()


def test_a_run_that_is_cut_anywhere_ends_in_the_same_bits(tmp_path: Path) -> None:
    Runs(running("shake", "shrink"), tmp_path).check_cuts()


def test_a_pipeline_runs_over_all_of_its_data_without_gradients(tmp_path: Path) -> None:
    processor = {
        "neural_graph": [{"model_name": "net", "inputs": ["x"], "outputs": ["y_hat"]}],
        "output_adapter": {"class": f"{HERE}.Noted"},
    }
    config = one_model(
        {
            "batch_processors": {
                "training": {
                    "neural_graph": [
                        {
                            "model_name": "net",
                            "inputs": ["x"],
                            "outputs": ["y_hat"],
                            "optimizer_name": "descent",
                        }
                    ]
                },
                "looking": processor,
            },
            "batch_graphs": {
                name: {"nodes": [name], "input_aliases": ["in"], "ingoing_edges": {name: ["in"]}}
                for name in ("training", "looking")
            },
        },
        stage("fit", epochs=2, run_before_epoch=["look"]),
        pipeline={
            "graph": "training",
            "input_factories": [feed("batches", "x y", "in")],
            "losses": [{"loss_name": "error", "node_name": "training"}],
        },
        look={"graph": "looking", "input_factories": [feed("batches", "x y", "in")]},
    )
    session = create_session(config, session_dir=tmp_path / "run")
    Noted.seen.clear()
    session.train()
    assert sum(rows for rows, _ in Noted.seen) == 2 * 10
    assert not any(with_gradient for _, with_gradient in Noted.seen)


def labelling(path: Path) -> Config:
    """Self-training: before each epoch the model labels the examples that it is trained on."""
    trained = node("net", "x", "y_hat", "descent")
    groups: Config = {
        "datasets": {
            "points": made("exact_parts.Points", 10),
            "labelled": made(f"{HERE}.Labelled", str(path)),
        },
        "loader_factories": {"batches": loader("points"), "own": loader("labelled")},
        "models": {"net": layer("Linear", 4, 1)},
        "callbacks": {
            "erase": made(f"{HERE}.Erase", str(path)),
            "reread": {"class": f"{HERE}.reread"},
        },
        "batch_processors": {
            "training": {"neural_graph": [trained]},
            "labels": {
                "neural_graph": [node("net", "x", "y_hat")],
                "output_adapter": made(f"{HERE}.Label", str(path)),
            },
        },
        "batch_graphs": {name: graph("in", **{name: "in"}) for name in ("training", "labels")},
    }
    return one_model(
        groups,
        stage("fit", epochs=3, run_before_epoch=["erase", "label", "reread"]),
        pipeline={
            "graph": "training",
            "input_factories": [feed("own", "x y", "in")],
            "losses": [{"loss_name": "error", "node_name": "training"}],
        },
        label={"graph": "labels", "input_factories": [feed("batches", "x y", "in")]},
    )


def test_data_that_is_made_before_each_epoch(tmp_path: Path) -> None:
    """There is none when the session is created, and its length changes from epoch to epoch."""
    path = tmp_path / "labels"
    session = create_session(labelling(path), session_dir=tmp_path / "run")
    assert not path.exists()  # the preflight tries the pipeline, and keeps nothing of it
    twin = Twin(labelling(path), tmp_path / "twin")
    net = twin.models["net"]
    descent = torch.optim.SGD(net.parameters(), lr=0.05)
    lengths = set()
    for _ in range(3):
        with torch.no_grad():
            labelled = [(x, torch.ones(1)) for x in Points(10).x if net(x[None])[0] > 0]
        lengths.add(len(labelled))
        fit(net, descent, batches_of(labelled), epochs=1)  # type: ignore[arg-type]
    twin.check()
    assert 0 not in lengths
    session.train()
    assert len(session.history) == 3


def test_a_run_over_data_that_is_made_resumes_to_the_same_bits(tmp_path: Path) -> None:
    Runs(labelling(tmp_path / "labels"), tmp_path).check_cuts()


def test_what_it_raises_is_told_with_its_name(tmp_path: Path) -> None:
    config = running("fail")
    config["initialize"]["definitions"].append(
        {"group": "callbacks", "name": "fail", "spec": {"class": f"{HERE}.fail"}}
    )
    session = create_session(config, session_dir=tmp_path / "run")
    with pytest.raises(UserCodeError, match='the callback "fail", before epoch 2'):
        session.train()
    assert load_session(tmp_path / "run").progress.epoch == 1


def test_a_callable_is_no_callback_of_a_stage(tmp_path: Path) -> None:
    config = running()
    config["train"]["stages"][0]["callbacks"] = ["shake"]
    with pytest.raises(ConfigError, match=r'"shake" is no torchassistant\.callbacks\.Callback'):
        create_session(config, session_dir=tmp_path / "run")
