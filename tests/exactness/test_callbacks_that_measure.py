"""LearningRateMonitor and GradientNorms: columns of the history, against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, made
from exact_runs import Runs
from test_callbacks import KINDS, assert_same_weights, fit, steps, toys, trained, wrong
from torch.nn.utils import get_total_norm

from torchassistant import create_session, load_session
from torchassistant.callbacks import Callback
from torchassistant.session import Session
from torchassistant.training import NamedCallback

RATES, NORMS = made("LearningRateMonitor"), made("GradientNorms")


def scheduled(config: Config, interval: str, **more: Any) -> Config:
    """The same, with groups of parameters, and a scheduler."""
    for definition in config["initialize"]["definitions"]:
        if definition["group"] == "optimizers":
            definition["spec"] |= {
                "parameters": [{"match": "*.bias", "name": "biases", "kwargs": {"lr": 0.2}}],
                "lr_scheduler": {**made("StepLR", step_size=1, gamma=0.5), "interval": interval},
                **more,
            }
    return config


class Norms(Callback):
    """The norms of every step, by hand."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = [[]]

    def on_backward_end(self, event: Any) -> None:
        parameters = event.session.models["net"].parameters()
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not event.is_repeated and bool(norm.isfinite()):
            self.rows[-1].append(norm.item())

    def on_epoch_end(self, event: Any) -> None:
        self.rows.append([])


def column(session: Session, name: str) -> list[float]:
    return [float(value) for value in session.history[name]]


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_learning_rates_are_those_of_the_last_step(interval: str, tmp_path: Path) -> None:
    config = scheduled(toys(fit(3), rates=RATES), interval)
    session = trained(config, tmp_path / "run")
    steps = [0.5 ** (k if interval == "epoch" else 3 * (k + 1)) for k in range(3)]
    assert column(session, "lr/sgd/biases") == [0.2 * s for s in steps]
    assert column(session, "lr/sgd/rest") == [0.1 * s for s in steps]


class Growing(Callback):
    """Lets the optimizer train more, from the second epoch on."""

    def on_epoch_start(self, event: Any) -> None:
        if event.epoch == 2:
            more = torch.nn.Parameter(torch.zeros(1))
            event.session.optimizers["sgd"].add_param_group({"params": [more], "lr": 9.0})


def test_groups_that_come_later_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run goes on, and the rates that have columns stand in them."""
    session = create_session(toys(fit(3), rates=RATES), session_dir=tmp_path / "run")
    session.train(callbacks=[Growing()])
    assert column(session, "lr/sgd") == [0.1] * 3
    said = capsys.readouterr().err
    assert said.count('the callback "rates" shows no learning rate of "sgd/1": columns are') == 1


def test_learning_rates_stand_in_rows_within_an_epoch(tmp_path: Path) -> None:
    validate = {"every_iterations": 1, "at_start": True}
    config = scheduled(toys(fit(2, validate=validate), rates=RATES), "step")
    runs = Runs(config, tmp_path)
    session = load_session(runs.plain)
    assert column(session, "lr/sgd/rest") == [0.1 * 0.5**step for step in range(7)]
    runs.check_all_cuts_in_one()


def test_the_norm_is_the_mean_over_the_steps_of_a_row(tmp_path: Path) -> None:
    session = create_session(toys(fit(3), norms=NORMS), session_dir=tmp_path / "run")
    by_hand = Norms()
    session.train(callbacks=[by_hand])
    assert column(session, "grad_norm/sgd") == [sum(r) / 3 for r in by_hand.rows[:3]]


@pytest.mark.parametrize("kind", KINDS)
def test_norms_of_any_kind_of_step_resume(kind: str, tmp_path: Path) -> None:
    runs = Runs(steps(kind, norms=NORMS, rates=RATES), tmp_path)
    runs.check_all_cuts_in_one()
    plain = create_session(steps(kind), session_dir=tmp_path / "without")
    by_hand = Norms()
    plain.train(callbacks=[by_hand])
    session = load_session(runs.plain)
    assert_same_weights(session, plain)
    expected = [sum(row) / len(row) for row in by_hand.rows if row]
    assert column(session, "grad_norm/sgd") == expected


def test_norms_of_rows_within_an_epoch_begin_anew(tmp_path: Path) -> None:
    validate = {"every_iterations": 2, "at_start": True}
    runs = Runs(toys(fit(2, validate=validate), norms=NORMS), tmp_path)
    by_hand = Norms()
    create_session(toys(fit(2)), session_dir=tmp_path / "without").train(callbacks=[by_hand])
    (a, b, c), (d, e, f) = by_hand.rows[:2]
    history = load_session(runs.plain).history["grad_norm/sgd"].tolist()
    assert history[1:] == [(a + b) / 2, c, d, (e + f) / 2]
    assert history[0] != history[0]
    runs.check_all_cuts_in_one()


def test_only_those_that_are_about_to_step_are_shown(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    class Looks(Callback):
        def on_backward_end(self, event: Any) -> None:
            seen.append([*event.optimizers])

        def on_step_end(self, event: Any) -> None:
            seen.append([*event.optimizers])

    config = toys(fit(1))
    groups = config["initialize"]["definitions"]
    groups.append({"group": "models", "name": "other", "spec": made("heard_parts.Net")})
    groups.append(
        {
            "group": "optimizers",
            "name": "adam",
            "spec": {**made("torch.optim.Adam"), "model": "other"},
        }
    )
    (graph,) = [d["spec"] for d in groups if d["group"] == "batch_processors"]
    graph["neural_graph"].append(
        {**graph["neural_graph"][0], "model_name": "other", "optimizer_name": "adam"}
        | {"outputs": ["z"]}
    )
    config["initialize"]["pipelines"]["fit"]["train_step"] = {"factory_fn": "heard_parts.steps_sgd"}
    session = create_session(config, session_dir=tmp_path / "run")
    session.train(callbacks=[Looks()])
    assert seen == [["sgd"], ["sgd", "adam"]] * 3


def test_means_are_of_what_counts() -> None:
    own = NamedCallback("mine", Callback(), ["a", "b"], 0)
    own.add_to_mean("a", 1.0, 1, None)
    own.add_to_mean("a", torch.tensor(float("nan")), torch.tensor(False), None)
    own.add_to_mean("a", torch.tensor(4.0), 2, None)
    row: dict[str, Any] = {}
    other = NamedCallback("mine", Callback(), ["a", "b"], 0)
    other.set_state(own.state())
    other.fill(row)
    assert row == {"a": 3.0, "b": None}


@pytest.mark.parametrize("kind", ["LearningRateMonitor", "GradientNorms"])
def test_wrong_names_of_optimizers_are_told(kind: str, tmp_path: Path) -> None:
    for given, message in {
        "sgg": "\"optimizers\" must be a list of names; it is 'sgg'",
        ("sgg",): 'no optimizer is named "sgg"; did you mean "sgd"?',
        ("sgd", "sgd"): '"optimizers" names one twice: sgd, sgd',
    }.items():
        value = given if isinstance(given, str) else [*given]
        mine = made(kind, optimizers=value)
        assert f".spec: {message}" in wrong(toys(mine=mine), tmp_path)
