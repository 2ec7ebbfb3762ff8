"""Style transfer: an image is trained, against the features of a frozen network."""

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
    stage,
    trained_by,
)
from exact_runs import Runs
from recipe_models import Pictures, style_transfer

OPTIMIZERS = {
    "Adam": (made("Adam", lr=0.05), {"lr": 0.05}),
    "LBFGS": (made("LBFGS", max_iter=3), {"max_iter": 3}),
}


def styled(optimizer: str) -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"pictures": made("recipe_models.Pictures")},
        "loader_factories": {"batches": loader("pictures", 1)},
        "models": {
            "canvas": made("recipe_models.Canvas"),
            "features": layers(
                layer("Conv2d", 3, 5, 3), layer("ReLU"), layer("Conv2d", 5, 4, 3), layer("ReLU")
            ),
        },
        "optimizers": {"painting": trained_by(OPTIMIZERS[optimizer][0], "canvas")},
        "losses": {
            "likeness": {
                "class": "recipe_models.style_transfer",
                "models": ["features"],
                "inputs": ["image", "content", "style"],
            }
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    {
                        "model_name": "canvas",
                        "inputs": [],
                        "outputs": ["image"],
                        "optimizer_name": "painting",
                    }
                ]
            }
        },
    }
    fit = {"input_factories": [feed("batches", "content style")], "losses": [loss("likeness")]}
    return config(groups, {"fit": fit}, stage("fit", epochs=4))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_equals_the_plain_loop(tmp_path: Path, name: str) -> None:
    twin = Twin(styled(name), tmp_path)
    canvas, features = twin.models["canvas"], twin.models["features"]
    optimizer = getattr(torch.optim, name)(canvas.parameters(), **OPTIMIZERS[name][1])
    ((content, style),) = batches_of(Pictures(), 1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        values = style_transfer(features, canvas(), content, style)
        total = values["content"] + values["style"]
        total.backward()
        return total

    for _ in range(4):
        optimizer.step(closure)
    twin.check(unchanged=["features"])
    assert all(p.grad is None for p in twin.session.models["features"].parameters())
    assert list(twin.session.history)[3:-1] == ["likeness", "likeness/content", "likeness/style"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_goes_on_from_any_iteration(tmp_path: Path, name: str) -> None:
    Runs(styled(name), tmp_path).check_cuts([2, 3])
