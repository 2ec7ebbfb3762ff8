"""What runs before each epoch of a stage: in order, once, and again to the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from before_epoch_parts import Noted
from exact_configs import Config, Twin, batches_of, feed, fit, layer, made, one_model, stage
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
