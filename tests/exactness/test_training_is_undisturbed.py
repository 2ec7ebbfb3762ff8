"""What only looks on changes nothing: validation, debug pipelines, metrics, the bar; and seeds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact_configs import (
    Config,
    Weights,
    assert_equal,
    feed,
    loader,
    loss,
    made,
    one_model,
    part,
    stage,
    trained_by,
    weights,
)
from exact_parts import Discarded

from torchassistant import create_session, load_session
from torchassistant.training import Reporter
from torchassistant.training.events import Live


def sensitive(*stages: Config, workers: int = 0) -> Config:
    """Everything that a stray random number, or a forgotten mode, would change.

    Shuffled data with noise from three generators, dropout, and batch norm.
    """
    told = {"inputs": ["y_hat", "y"]}
    groups = {
        "datasets": {"points": part("Augmented", 10)},
        "loader_factories": {"batches": loader("points", shuffle=True, num_workers=workers)},
        "models": {"net": part("Regressor", norm=True, dropout=0.3)},
        "optimizers": {"descent": trained_by(made("Adam", lr=0.01), "net")},
        "metrics": {
            "r2": {**made("R2Score"), **told},
            "largest": {**part("largest_error"), **told},
            "blurred": {**part("largest_error"), **told, "transform": "exact_parts.blurred"},
        },
    }
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="held out")],
        "metrics": [{"metric_name": "r2"}, {"metric_name": "blurred"}],
    }
    fit = {"metrics": [{"metric_name": "largest"}]}
    return one_model(groups, *stages, pipeline=fit, check=check)


def trained(config: Config, folder: Path, reporter: Reporter | None = None) -> Weights:
    session = create_session(config, session_dir=folder)
    session.train(reporter)
    return weights(session.models)


class Redrawing(Reporter):
    """As if the bar were redrawn after every iteration."""

    count = 0

    def iteration_done(self, live: Live) -> None:
        self.count += 1
        assert live()


def looking(**keys: Any) -> Config:
    """A debug pipeline over the pipeline's own data, whose device draws random numbers."""
    return {
        "input_factories": [feed("batches", "x y")],
        "output_device": part("Discarded"),
        "output_keys": ["y_hat"],
        **keys,
    }


LOOKS: dict[str, dict[str, Any]] = {
    "validation on the data of training": {"validation": ["fit"]},
    "validation of two pipelines": {"validation": ["check", "fit"]},
    "a part of a validation pipeline": {"validation": ["check"], "eval_steps": 1},
    "a debug pipeline": {"debug_pipelines": [looking()]},
    "a debug pipeline now and then": {
        "debug_pipelines": [looking(interval=3, num_iterations=2)],
        "validation": ["check"],
    },
}


@pytest.mark.parametrize(
    ("look", "workers"), [*((look, 0) for look in LOOKS), ("a debug pipeline now and then", 2)]
)
def test_looking_on_changes_no_weight(tmp_path: Path, look: str, workers: int) -> None:
    Discarded.count = 0
    keys = LOOKS[look]
    plain = trained(sensitive(stage("fit"), workers=workers), tmp_path / "plain")
    observed = trained(sensitive(stage("fit", **keys), workers=workers), tmp_path / "observed")
    assert_equal(plain, observed)
    if "debug_pipelines" in keys:
        each = keys["debug_pipelines"][0]
        assert Discarded.count == 6 // each.get("interval", 1) * each.get("num_iterations", 1)


@pytest.mark.parametrize("name", ["largest", "r2", "blurred"])
def test_the_bar_changes_no_weight(tmp_path: Path, name: str) -> None:
    """Else a run would depend on the clock, by which the bar is redrawn."""
    config = sensitive(stage("fit"))
    config["initialize"]["pipelines"]["fit"]["metrics"] = [{"metric_name": name}]
    reporter = Redrawing()
    plain = trained(config, tmp_path / "plain")
    observed = trained(config, tmp_path / "observed", reporter)
    assert reporter.count == 6
    assert_equal(plain, observed)


def test_validation_does_not_change_the_state_of_a_loss(tmp_path: Path) -> None:
    losses = {"error": {**part("CentredError"), "inputs": ["y_hat", "y"]}}
    plain = trained(one_model({"losses": losses}), tmp_path / "plain")
    validated = stage("fit", validation=["fit"])
    observed = trained(one_model({"losses": losses}, validated), tmp_path / "observed")
    assert_equal(plain, observed)


def test_an_evaluation_between_creation_and_training_changes_no_weight(tmp_path: Path) -> None:
    config = sensitive(stage("fit", validation=["check"]))
    plain = trained(config, tmp_path / "plain")
    session = create_session(config, session_dir=tmp_path / "evaluated")
    assert session.evaluate() == session.evaluate()
    session.train()
    assert_equal(plain, weights(session.models))


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_random_follows_from_the_seed(tmp_path: Path, workers: int) -> None:
    """Start weights, order, noise and dropout; whatever was drawn in the process before."""

    def run(name: str) -> tuple[Weights, Weights, Any]:
        config = sensitive(stage("fit", validation=["check"]), workers=workers)
        session = create_session(config, session_dir=tmp_path / name)
        start = weights(session.models)
        torch.rand(3), random.random(), np.random.rand()
        session.train()
        return start, weights(session.models), session.history.drop(columns="seconds")

    first, again = run("first"), run("again")
    assert_equal(first[0], again[0])
    assert_equal(first[1], again[1])
    assert first[2].equals(again[2])


@pytest.mark.parametrize("random_part", ["nothing", "order", "noise of workers", "dropout"])
def test_another_seed_is_another_order_noise_and_dropout(tmp_path: Path, random_part: str) -> None:
    """From the same start weights, with one thing that is random."""
    noisy = random_part == "noise of workers"
    groups = {
        "datasets": {"points": part("Augmented" if noisy else "Points", 10)},
        "loader_factories": {
            "batches": loader("points", shuffle=random_part == "order", num_workers=2 * noisy)
        },
        "models": {"net": part("Regressor", dropout=0.5 * (random_part == "dropout"))},
    }
    results = []
    for seed in (5, 6):
        session = create_session(one_model(groups, seed=seed), tmp_path / str(seed))
        for index, parameter in enumerate(session.models["net"].parameters()):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
        session.train()
        results.append(session.models["net"].last.weight)
    assert torch.equal(*results) == (random_part == "nothing")


def test_a_seed_is_drawn_where_none_is_given_and_written_down(tmp_path: Path) -> None:
    config = sensitive(stage("fit"))
    del config["seed"]
    one = create_session(config, session_dir=tmp_path / "one")
    other = create_session(config, session_dir=tmp_path / "other")
    assert one.seed != other.seed
    first, second = (session.models["net"].last.weight for session in (one, other))
    assert not torch.equal(first, second)
    again = create_session({**config, "seed": one.seed}, session_dir=tmp_path / "again")
    assert load_session(one.path).seed == one.seed
    for session in (one, again):
        session.train()
    assert_equal(weights(one.models), weights(again.models))
