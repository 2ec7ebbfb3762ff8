"""Nodes in eval mode in training: teachers, and batch norm that stays as it is."""

from __future__ import annotations

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
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.session.preflight import preflight

NET = layers(
    layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Dropout", 0.4), layer("Linear", 6, 1)
)


def groups(*nodes: Config, **more: Any) -> dict[str, dict[str, Config]]:
    """A teacher and a student over one processor with these nodes."""
    return {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"teacher": NET, "student": NET},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "student")},
        "losses": {
            "imitation": {**made("MSELoss"), "inputs": ["said", "taught"]},
            "error": {**made("MSELoss"), "inputs": ["said", "y"]},
        },
        "batch_processors": {"run": {"neural_graph": list(nodes)}},
        **more,
    }


def fit(*losses: str) -> Config:
    return {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss(name) for name in losses],
    }


STUDENT = node("student", "x", "said", "descent")


@pytest.mark.parametrize(
    "how",
    [{}, {"activation_checkpointing": True}, {"compile": {"backend": "eager"}}],
    ids=["plain", "checkpointed", "compiled"],
)
def test_a_teacher_in_eval_mode(tmp_path: Path, how: Config) -> None:
    teacher = node("teacher", "x", "taught", mode="eval", **how)
    spec = config(groups(teacher, STUDENT), {"fit": fit("imitation")}, stage("fit"))
    twin = Twin(spec, tmp_path)
    teaching, learning = twin.models["teacher"].eval(), twin.models["student"]
    optimizer = SGD(learning.parameters(), lr=0.05)
    for _ in range(2):
        for x, _ in batches_of(Points(10)):
            with torch.no_grad():
                taught = teaching(x)
            optimizer.zero_grad()
            mse_loss(learning(x), taught).backward()
            optimizer.step()
    twin.check(unchanged=["teacher"])


def test_without_it_a_teacher_is_in_train_mode(tmp_path: Path) -> None:
    spec = config(
        groups(node("teacher", "x", "taught"), STUDENT), {"fit": fit("imitation")}, stage("fit")
    )
    twin = Twin(spec, tmp_path)
    kept = {k: v.clone() for k, v in twin.models["teacher"].state_dict().items()}
    teaching, learning = twin.models["teacher"], twin.models["student"]
    optimizer = SGD(learning.parameters(), lr=0.05)
    for _ in range(2):
        for x, _ in batches_of(Points(10)):
            with torch.no_grad():
                taught = teaching(x)
                teaching.load_state_dict(kept)
            optimizer.zero_grad()
            mse_loss(learning(x), taught).backward()
            optimizer.step()
    twin.check(unchanged=["teacher"])


def test_a_node_in_eval_mode_may_learn(tmp_path: Path) -> None:
    """Running statistics are used, and stay."""
    spec = config(groups({**STUDENT, "mode": "eval"}), {"fit": fit("error")}, stage("fit"))
    twin = Twin(spec, tmp_path)
    learning = twin.models["student"].eval()
    optimizer = SGD(learning.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(learning(x), y).backward()
            optimizer.step()
    twin.check(unchanged=["teacher"])


@pytest.mark.parametrize("how", [{}, {"activation_checkpointing": True}], ids=["plain", "again"])
@pytest.mark.parametrize("order", [("learns", "says"), ("says", "learns")])
def test_one_model_in_both_modes(tmp_path: Path, order: tuple[str, str], how: Config) -> None:
    """One node trains it in train mode; another, in the same stage, runs it in eval mode."""
    processors = {
        "learns": {"neural_graph": [STUDENT]},
        "says": {
            "neural_graph": [
                node("student", "x", "said", "descent", name="quiet", mode="eval", **how)
            ]
        },
    }
    graphs = {
        f"{name} alone": {"nodes": [name], "input_aliases": ["in"], "ingoing_edges": {name: ["in"]}}
        for name in processors
    }
    spec = config(
        groups(batch_processors=processors, batch_graphs=graphs),
        {name: {"graph": f"{name} alone", **fit("error")} for name in processors},
        stage(*order),
    )
    twin = Twin(spec, tmp_path)
    learning = twin.models["student"]
    optimizer = SGD(learning.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            for name in order:
                learning.train(name == "learns")
                optimizer.zero_grad()
                mse_loss(learning(x), y).backward()
                optimizer.step()
    twin.check(unchanged=["teacher"])


def test_it_is_shown_and_survives_a_load(tmp_path: Path) -> None:
    teacher = node("teacher", "x", "taught", mode="eval")
    pipelines = {"fit": fit("imitation"), "check": fit("error")}
    spec = config(groups(teacher, STUDENT), pipelines, stage("fit", validation=["check"], epochs=1))
    session = create_session(spec, session_dir=tmp_path / "session")
    session.train()
    again = load_session(tmp_path / "session")
    modes = {(n.pipeline, n.node): n.mode for n in preflight(again).nodes}
    assert modes == {
        ("fit", "teacher"): "eval",
        ("fit", "student"): "train",
        ("check", "teacher"): "eval",
        ("check", "student"): "eval",
    }


def test_a_frozen_model_that_acts_otherwise_in_training_is_told(tmp_path: Path) -> None:
    frozen = node("teacher", "x", "taught")
    spec = config(groups(frozen, STUDENT), {"fit": fit("imitation")}, stage("fit"))
    session = create_session(spec, session_dir=tmp_path / "loud")
    (warning,) = preflight(session).warnings
    assert '"teacher" is trained by no stage, and runs in train mode' in warning.message
    assert "BatchNorm1d and Dropout" in warning.message
    quiet = config(
        groups({**frozen, "mode": "eval"}, STUDENT), {"fit": fit("imitation")}, stage("fit")
    )
    assert not preflight(create_session(quiet, session_dir=tmp_path / "quiet")).warnings
