"""Two tasks, weighed by a loss that learns how uncertain each is."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    layer,
    loader,
    loss,
    made,
    node,
    stage,
)
from exact_runs import Runs
from recipe_models import Tasks


def weighed() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": made("recipe_models.Tasks", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "trunk": layer("Linear", 4, 6),
            "value": layer("Linear", 6, 1),
            "classes": layer("Linear", 6, 2),
        },
        "optimizers": {
            "adam": {
                **made("Adam", lr=0.05),
                "model": ["trunk", "value", "classes", "losses.weighed"],
            }
        },
        "losses": {
            "weighed": {
                **made("recipe_models.Uncertainty"),
                "inputs": ["said", "y", "scores", "c"],
            }
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("trunk", "x", "h", "adam"),
                    node("value", "h", "said", "adam"),
                    node("classes", "h", "scores", "adam"),
                ]
            }
        },
    }
    fit = {"input_factories": [feed("batches", "x y c")], "losses": [loss("weighed")]}
    return config(groups, {"fit": fit}, stage("fit"))


def test_it_equals_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(weighed(), tmp_path)
    trunk, value, classes = (twin.models[name] for name in ("trunk", "value", "classes"))
    criterion = copy.deepcopy(twin.session.losses["weighed"])
    torch.nn.init.zeros_(criterion.log_variances)
    parameters = [p for m in (trunk, value, classes, criterion) for p in m.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(2):
        for x, y, c in batches_of(Tasks(10)):
            optimizer.zero_grad()
            h = trunk(x)
            values = criterion(value(h), y, classes(h), c)
            (values["value"] + values["class"]).backward()
            optimizer.step()
    twin.check()
    learnt = twin.session.losses["weighed"].log_variances
    assert torch.equal(learnt, criterion.log_variances)
    assert learnt.abs().min() > 0
    assert {"weighed", "weighed/value", "weighed/class"} <= {*twin.session.history}


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(weighed(), tmp_path).check_cuts([1, 4])
