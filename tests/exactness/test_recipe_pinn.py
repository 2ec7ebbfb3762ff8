"""A physics-informed network: the residual of u' = -u, first by Adam, and then by LBFGS.

No node runs the net: the losses call it, and differentiate it by its input.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    config,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn
from torch.optim import LBFGS, Adam
from torch.utils.data import Dataset

from torchassistant import create_session
from torchassistant.errors import ConfigError

THIS = "test_recipe_pinn"
POINTS = 9


class Times(Dataset[Tensor]):
    """Points of time in [0, 1], each float32 (1,)."""

    def __init__(self, count: int) -> None:
        self.t = torch.linspace(0, 1, count).unsqueeze(1)

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, index: int) -> Tensor:
        return self.t[index]


class Residual(nn.Module):
    """The mean square of u' + u, at times (B, 1)."""

    needs_grad = True

    def forward(self, u: nn.Module, t: Tensor) -> Tensor:
        t = t.detach().requires_grad_()
        y = u(t)
        (slope,) = torch.autograd.grad(y.sum(), t, create_graph=True)
        return (slope + y).square().mean()


def start(u: nn.Module, t: Tensor) -> Tensor:
    """How far u(0) is from 1, squared."""
    return (u(u[0].weight.new_zeros(1, 1)) - 1).square().mean()


def pinn() -> Config:
    """The config."""
    kinds = {"residual": f"{THIS}.Residual", "start": f"{THIS}.start"}
    groups = {
        "datasets": {"times": made(f"{THIS}.Times", POINTS)},
        "loader_factories": {"times": loader("times", POINTS)},
        "models": {"u": layers(layer("Linear", 1, 8), layer("Tanh"), layer("Linear", 8, 1))},
        "optimizers": {
            "adam": trained_by(made("Adam", lr=0.01), "u"),
            "lbfgs": trained_by(made("LBFGS", max_iter=5, line_search_fn="strong_wolfe"), "u"),
        },
        "losses": {
            f"{name} by {by}": {
                **made(path),
                "models": ["u"],
                "inputs": ["t"],
                "optimizer_name": by,
            }
            for name, path in kinds.items()
            for by in ("adam", "lbfgs")
        },
        "batch_processors": {"nothing": {"neural_graph": []}},
    }
    pipelines = {
        by: {
            "input_factories": [feed("times", "t")],
            "losses": [loss(f"residual by {by}"), loss(f"start by {by}", weight=10.0)],
        }
        for by in ("adam", "lbfgs")
    }
    checking = {
        "input_factories": [feed("times", "t")],
        "losses": [loss("residual by adam", loss_display_name="val")],
    }
    stages = [stage("adam", epochs=3, validation=["check"]), stage("lbfgs", epochs=2)]
    return config(groups, {**pipelines, "check": checking}, *stages)


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(pinn(), tmp_path)
    u, t, residual = twin.models["u"], Times(POINTS).t, Residual()
    adam = Adam(u.parameters(), lr=0.01)
    for _ in range(3):
        adam.zero_grad()
        (residual(u, t) + 10.0 * start(u, t)).backward()
        adam.step()
    lbfgs = LBFGS(u.parameters(), max_iter=5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        lbfgs.zero_grad()
        error = residual(u, t) + 10.0 * start(u, t)
        error.backward()
        return error

    for _ in range(2):
        lbfgs.step(closure)
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    Runs(pinn(), tmp_path).check_cuts((1, 4))


def test_models_of_losses_that_nothing_trains(tmp_path: Path) -> None:
    whole = pinn()
    for definition in whole["initialize"]["definitions"]:
        if definition["group"] == "losses" and definition["name"].endswith("adam"):
            del definition["spec"]["optimizer_name"]
    with pytest.raises(ConfigError) as caught:
        create_session(whole, session_dir=tmp_path / "run")
    assert [(p.place.path, p.message) for p in caught.value.problems] == [
        (
            "train.stages[0].training_pipelines[0]",
            'no node of the pipeline "adam" has an optimizer, and no loss of it an '
            '"optimizer_name" for its models, so it trains nothing',
        )
    ]


def test_nothing_to_compile(tmp_path: Path) -> None:
    whole = pinn()
    for definition in whole["initialize"]["definitions"]:
        if definition["group"] == "batch_processors":
            definition["spec"]["compile"] = True
    with pytest.raises(ConfigError, match='"compile" belongs to "neural_graph"'):
        create_session(whole, session_dir=tmp_path / "run")
