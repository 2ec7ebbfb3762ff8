"""Learning without forgetting: the net as it was after the first task teaches it in the second."""

from __future__ import annotations

import copy
from pathlib import Path

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
)
from exact_parts import Classes
from exact_runs import Runs
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from torchassistant import create_session
from torchassistant.errors import ConfigError
from torchassistant.losses import KLDistillation

FIRST, SECOND = 14, 12


def lwf() -> Config:
    """An average that begins anew with the second stage, and is frozen there, is a snapshot."""
    hidden = (layer("BatchNorm1d", 8), layer("ReLU"))
    net = layers(layer("Linear", 4, 8), *hidden, layer("Linear", 8, 5))
    groups = {
        "datasets": {"first": part("Classes", FIRST), "second": part("Classes", SECOND, seed=3)},
        "loader_factories": {"first": loader("first"), "second": loader("second")},
        "models": {
            "net": net,
            "head1": layer("Linear", 5, 3),
            "head2": layer("Linear", 5, 3),
            "old net": {"average_of": "net", "decay": 0.9},
            "old head": {"average_of": "head1", "decay": 0.9},
        },
        "optimizers": {
            "first": {**made("SGD", lr=0.1), "model": ["net", "head1"]},
            "second": {**made("SGD", lr=0.05), "model": ["net", "head1", "head2"]},
        },
        "losses": {
            "entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]},
            "keeping": {
                **made("KLDistillation", temperature=2.0),
                "inputs": ["first_scores", "old_scores"],
            },
        },
        "batch_processors": {
            "first": {
                "neural_graph": [
                    node("net", "x", "h", "first"),
                    node("head1", "h", "scores", "first"),
                ]
            },
            "second": {
                "neural_graph": [
                    node("net", "x", "h", "second"),
                    node("head2", "h", "scores", "second"),
                    node("head1", "h", "first_scores", "second"),
                    node("old net", "x", "old_h", mode="eval"),
                    node("old head", "old_h", "old_scores", mode="eval"),
                ]
            },
        },
        "batch_graphs": {name: graph("data", **{name: "data"}) for name in ("first", "second")},
    }
    pipelines = {
        "first": {
            "graph": "first",
            "input_factories": [feed("first", "x label")],
            "losses": [loss("entropy")],
        },
        "second": {
            "graph": "second",
            "input_factories": [feed("second", "x label")],
            "losses": [loss("entropy"), loss("keeping", weight=0.5)],
        },
    }
    old = ["old net", "old head"]
    reset = [f"averages.{name}" for name in old]
    return config(
        groups, pipelines, stage("first"), stage("second", reset=reset, frozen=old, name="second")
    )


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(lwf(), tmp_path)
    net, head1, head2 = (twin.models[name] for name in ("net", "head1", "head2"))
    optimizer = SGD([*net.parameters(), *head1.parameters()], lr=0.1)
    for _ in range(2):
        for x, label in batches_of(Classes(FIRST)):
            optimizer.zero_grad()
            cross_entropy(head1(net(x)), label).backward()
            optimizer.step()
    twin.models["old net"].load_state_dict(net.state_dict())
    twin.models["old head"].load_state_dict(head1.state_dict())
    old_net, old_head = copy.deepcopy(net).eval(), copy.deepcopy(head1)
    optimizer = SGD([*net.parameters(), *head1.parameters(), *head2.parameters()], lr=0.05)
    keeping = KLDistillation(temperature=2.0)
    for _ in range(2):
        for x, label in batches_of(Classes(SECOND, seed=3)):
            h = net(x)
            with torch.no_grad():
                old_scores = old_head(old_net(x))
            optimizer.zero_grad()
            error = cross_entropy(head2(h), label) + 0.5 * keeping(head1(h), old_scores)
            error.backward()
            optimizer.step()
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    Runs(lwf(), tmp_path).check_cuts((3, 8, 9, 13))


def test_an_average_is_frozen_as_a_whole(tmp_path: Path) -> None:
    whole = lwf()
    whole["train"]["stages"][1]["frozen"] = ["old net:0.weight"]
    with pytest.raises(ConfigError, match='is a part of the average "old net"') as told:
        create_session(whole, session_dir=tmp_path / "run")
    assert told.value.problems[0].place.path == "train.stages[1].frozen[0]"
