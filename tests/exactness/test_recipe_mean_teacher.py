"""Mean teacher: an average of the student says what it should say of examples without labels."""

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
from exact_runs import Runs
from torch.nn.functional import mse_loss
from torch.optim import SGD

DECAY, WEIGHT = 0.9, 0.5


def mean_teacher(epochs: int = 2) -> Config:
    """The config: few points with a target, and many of which only x is used."""
    net = layers(layer("Linear", 4, 6), layer("Dropout", 0.3), layer("Tanh"), layer("Linear", 6, 1))
    groups = {
        "datasets": {"labelled": part("Points", 12), "unlabelled": part("Points", 18, seed=1)},
        "loader_factories": {
            "labelled": loader("labelled"),
            "unlabelled": loader("unlabelled", 6),
        },
        "models": {
            "student": net,
            "teacher": {"average_of": "student", "decay": DECAY, "warmup": True, "first": "blend"},
        },
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.05), "student")},
        "losses": {
            "supervised": {**made("MSELoss"), "inputs": ["y_hat", "y"]},
            "consistency": {**made("MSELoss"), "inputs": ["said", "taught"]},
        },
        "batch_processors": {
            "learning": {"neural_graph": [node("student", "x", "y_hat", "sgd")]},
            "agreeing": {
                "neural_graph": [
                    node("student", "u", "said", "sgd"),
                    node("teacher", "u", "taught"),
                ]
            },
            "predicting": {"neural_graph": [node("teacher", "x", "y_hat")]},
        },
        "batch_graphs": {
            "both": graph("labelled unlabelled", learning="labelled", agreeing="unlabelled"),
            "teacher": graph("labelled", predicting="labelled"),
        },
    }
    pipelines = {
        "train": {
            "graph": "both",
            "input_factories": [
                feed("labelled", "x y", "labelled"),
                feed("unlabelled", "u _", "unlabelled"),
            ],
            "losses": [
                loss("supervised", "learning"),
                loss("consistency", "agreeing", weight=WEIGHT),
            ],
        },
        "check": {
            "graph": "teacher",
            "input_factories": [feed("labelled", "x y", "labelled")],
            "losses": [loss("supervised", "predicting", loss_display_name="val loss")],
        },
    }
    return config(groups, pipelines, stage("train", validation=["check"], epochs=epochs))


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(mean_teacher(), tmp_path)
    student = twin.models["student"]
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer, n = SGD(student.parameters(), lr=0.05), 0
    for _ in range(2):
        both = zip(batches_of(Points(12)), batches_of(Points(18, seed=1), 6), strict=True)
        for (x, y), (u, _) in both:
            y_hat = student(x)
            said = student(u)
            with torch.no_grad():
                taught = teacher(u)
            optimizer.zero_grad()
            (mse_loss(y_hat, y) + WEIGHT * mse_loss(said, taught)).backward()
            optimizer.step()
            decay = min(DECAY, (1 + n) / (10 + n))
            with torch.no_grad():
                for average, current in zip(
                    teacher.parameters(), student.parameters(), strict=True
                ):
                    average.lerp_(current, 1 - decay)
            n += 1
    twin.models["teacher"].load_state_dict(teacher.state_dict())
    twin.check()


def test_every_cut_ends_in_the_same_bits(tmp_path: Path) -> None:
    Runs(mean_teacher(), tmp_path).check_cuts()
