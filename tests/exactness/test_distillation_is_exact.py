"""Distillation: a student learns from the scores and the features of a frozen teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from exact_parts import Classes
from exact_runs import Runs
from torch.nn.functional import kl_div, log_softmax, mse_loss, softmax

STEM = layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Tanh"), layer("Dropout", 0.3))
TEACHING = {"mode": "eval"}


def distilled(weights: tuple[float, float] = (3, 1), **fit: Any) -> Config:
    """The teacher's stem and head, beside those of the student."""
    head = layer("Linear", 6, 3)
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Classes", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"stem": STEM, "head": head, "old_stem": STEM, "old_head": head},
        "optimizers": {
            "stem_sgd": trained_by(made("SGD", lr=0.05, momentum=0.9), "stem"),
            "head_sgd": trained_by(made("SGD", lr=0.05, momentum=0.9), "head"),
        },
        "losses": {
            "soft": {**made("KLDistillation", temperature=4.0), "inputs": ["scores", "old_scores"]},
            "hint": {**made("FeatureMatching"), "inputs": ["h", "old_h"]},
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("old_stem", "x", "old_h", **TEACHING),
                    node("old_head", "old_h", "old_scores", **TEACHING),
                    node("stem", "x", "h", "stem_sgd"),
                    node("head", "h", "scores", "head_sgd"),
                ]
            }
        },
    }
    pipeline = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("soft", weight=weights[0]), loss("hint", weight=weights[1])],
        **fit,
    }
    return config(groups, {"fit": pipeline}, stage("fit", epochs=3))


def train(twin: Twin, of_soft: float, of_hint: float) -> None:
    """The same by hand."""
    stem, head, old_stem, old_head = (
        twin.models[name] for name in ("stem", "head", "old_stem", "old_head")
    )
    old_stem.eval()
    old_head.eval()
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9) for model in (stem, head)
    ]
    for _ in range(3):
        for x, _ in batches_of(Classes(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            with torch.no_grad():
                old_h = old_stem(x)
                old_scores = old_head(old_h)
            h = stem(x)
            target = softmax(old_scores / 4.0, 1)
            soft = kl_div(log_softmax(head(h) / 4.0, 1), target, reduction="batchmean") * 4.0**2
            (soft * of_soft + mse_loss(h, old_h) * of_hint).backward()
            for optimizer in optimizers:
                optimizer.step()


def test_a_student_learns_as_in_a_loop(tmp_path: Path) -> None:
    twin = Twin(distilled(), tmp_path)
    train(twin, 3, 1)
    twin.check(unchanged=["old_stem", "old_head"])


def test_normalized_weights_are_shares_of_their_sum(tmp_path: Path) -> None:
    twin = Twin(distilled((3, 2), normalize_weights=True), tmp_path)
    train(twin, 3 / 5, 2 / 5)
    twin.check(unchanged=["old_stem", "old_head"])


def test_the_history_shows_losses_without_their_normalized_weights(tmp_path: Path) -> None:
    shown = []
    for name, weights in (("one", (0.5, 0.5)), ("two", (7, 7))):
        (tmp_path / name).mkdir()
        normalized = distilled(weights, normalize_weights=True)
        shown.append(Twin(normalized, tmp_path / name).session.history[["soft", "hint"]])
    assert shown[0].equals(shown[1])


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(distilled((3, 2), normalize_weights=True), tmp_path).check_cuts()
