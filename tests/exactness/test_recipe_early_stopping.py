"""A classifier validated every few iterations: it keeps the best, and stops within an epoch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from exact_configs import (
    Config,
    Twin,
    assert_equal,
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
    trained_by,
    weights,
)
from exact_parts import Classes
from exact_runs import Runs
from torch import nn
from torch.nn.functional import cross_entropy

from torchassistant import load_session

EVERY, PATIENCE = 3, 2
NET = layers(layer("Linear", 4, 16), layer("ReLU"), layer("Linear", 16, 3))


def classifier() -> Config:
    """Seven iterations an epoch, validated after every third of the stage."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"train": part("Classes", 28), "val": part("Classes", 9, seed=5)},
        "loader_factories": {"batches": loader("train"), "tests": loader("val")},
        "models": {"net": NET},
        "optimizers": {"adam": trained_by(made("Adam", lr=0.05), "net")},
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]}},
        "metrics": {
            "accuracy": {
                **made("MulticlassAccuracy", num_classes=3, average="micro"),
                "inputs": ["scores", "label"],
            }
        },
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "scores", "adam")]}},
    }
    fit = {"input_factories": [feed("batches", "x label")], "losses": [loss("entropy")]}
    check = {
        "input_factories": [feed("tests", "x label")],
        "losses": [loss("entropy", loss_display_name="val loss")],
        "metrics": [{"metric_name": "accuracy", "display_name": "val acc"}],
    }
    stage: Config = {
        "training_pipelines": ["fit"],
        "validation_pipelines": ["check"],
        "validate": {"every_epochs": None, "every_iterations": EVERY},
        "stop_condition": made("EarlyStopping", monitor="val loss", patience=PATIENCE),
    }
    whole = config(groups, {"fit": fit, "check": check}, stage)
    return {**whole, "checkpoints": {"keep_last": 1, "best": {"monitor": "val loss"}}}


def batches_for_ever() -> Iterator[Any]:
    while True:
        yield from batches_of(Classes(28))


def test_it_trains_stops_and_keeps_the_best_as_in_a_loop(tmp_path: Path) -> None:
    twin = Twin(classifier(), tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    val = list(batches_of(Classes(9, seed=5)))

    def val_loss() -> float:
        net.eval()
        with torch.no_grad():
            total = sum(cross_entropy(net(x), label).item() * len(x) for x, label in val)
        net.train()
        return total / 9

    best: tuple[float, int, nn.Module] = (float("inf"), 0, net)
    waited = 0
    for step, (x, label) in enumerate(batches_for_ever(), start=1):
        optimizer.zero_grad()
        cross_entropy(net(x), label).backward()
        optimizer.step()
        if step % EVERY:
            continue
        value = val_loss()
        waited += 1
        if value < best[0]:
            best, waited = (value, step, copy.deepcopy(net)), 0
        if waited == PATIENCE:
            break
    twin.check()
    assert twin.session.progress.step == step
    assert step % 7 and best[1] % 7, "both are within an epoch"
    kept = load_session(twin.session.path, checkpoint="best")
    assert kept.progress.step == best[1]
    assert_equal(weights(kept.models), weights({"net": best[2]}))
    measured = kept.evaluate(["check"])
    assert measured["val loss"] == best[0]


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    runs = Runs(classifier(), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(6)
