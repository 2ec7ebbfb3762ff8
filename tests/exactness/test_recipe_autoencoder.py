"""An encoder and a decoder under one Adam, whose gradients have one norm."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
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
    part,
    stage,
)
from exact_parts import Points
from exact_runs import Runs
from torch import nn
from torch.nn.functional import mse_loss

from torchassistant import create_session

LIMITS: dict[str, Config] = {
    "of the optimizer": {"optimizer": "adam"},
    "of the models": {"model": ["encoder", "decoder"]},
}


def autoencoder(limit: Config) -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "encoder": layers(layer("Linear", 4, 3), layer("Tanh"), layer("Linear", 3, 2)),
            "decoder": layers(layer("Linear", 2, 3), layer("Tanh"), layer("Linear", 3, 4)),
        },
        "optimizers": {"adam": {**made("Adam", lr=0.01), "model": ["encoder", "decoder"]}},
        "gradient_clippers": {"limit": {**limit, "clip_norm": 0.1}},
        "losses": {"error": {**made("MSELoss"), "inputs": ["again", "x"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("encoder", "x", "code", "adam"),
                    node("decoder", "code", "again", "adam"),
                ]
            }
        },
    }
    pipelines = {"fit": {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}}
    return config(groups, pipelines, stage("fit", epochs=3))


@pytest.mark.parametrize("limit", LIMITS)
def test_it_trains_as_in_a_loop(tmp_path: Path, limit: str) -> None:
    twin = Twin(autoencoder(LIMITS[limit]), tmp_path)
    encoder, decoder = twin.models["encoder"], twin.models["decoder"]
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(3):
        for x, _ in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(decoder(encoder(x)), x).backward()
            nn.utils.clip_grad_norm_(parameters, 0.1)
            optimizer.step()
    twin.check()


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(autoencoder(LIMITS["of the optimizer"]), tmp_path).check_cuts()


def test_one_optimizer_steps_once(tmp_path: Path) -> None:
    session = create_session(autoencoder(LIMITS["of the models"]), session_dir=tmp_path / "run")
    session.train()
    (state, *_) = session.optimizers["adam"].state_dict()["state"].values()
    assert int(state["step"]) == session.progress.step == 9
