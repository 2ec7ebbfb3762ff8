"""Losses that give a dict: summed, shown by key, and known before the history begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dict_losses
import pytest
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
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Runs
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError
from torchassistant.training import NotFinite

TWO = {"class": "dict_losses.two", "inputs": ["said", "y"], "report": ["bias"]}


def by_key(given: Config = TWO, fit: Config | None = None, **of_stage: Any) -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": layer("Linear", 4, 1)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "net")},
        "losses": {
            "given": given,
            "other": {**made("L1Loss"), "inputs": ["said", "y"]},
        },
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "said", "descent")]}},
    }
    feeds = {"input_factories": [feed("batches", "x y")]}
    pipelines = {
        "fit": {
            **feeds,
            "losses": [
                loss("given", loss_display_name="loss", weight=0.5),
                loss("other", weight=0.25),
            ],
            **(fit or {}),
        },
        "check": {**feeds, "losses": [loss("given", loss_display_name="val")]},
    }
    return config(groups, pipelines, stage("fit", validation=["check"], epochs=2, **of_stage))


def train(twin: Twin) -> list[dict[str, float]]:
    """The same by hand; gives the means of the values over each epoch."""
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    shown = []
    for _ in range(2):
        means: dict[str, float] = {}
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            said = net(x)
            values = dict_losses.two(said, y)
            whole = (values["error"] + values["size"]) * 0.5
            (whole + (said - y).abs().mean() * 0.25).backward()
            optimizer.step()
            for key, value in values.items():
                means[key] = means.get(key, 0.0) + value.item() * len(x) / 10
        shown.append(means)
    return shown


COLUMNS = ["loss", "loss/error", "loss/size", "loss/bias", "other"]


@pytest.mark.parametrize("preflight", [True, False])
@pytest.mark.parametrize("fit", [{}, {"compile": {"backend": "eager"}}], ids=["plain", "compiled"])
def test_it_equals_the_plain_loop(tmp_path: Path, fit: Config, preflight: bool) -> None:
    twin = Twin(by_key(fit=fit), tmp_path, preflight=preflight)
    shown = train(twin)
    twin.check()
    header = (tmp_path / "session" / "metrics" / "0.csv").read_text().splitlines()[0].split(",")
    validated = ["val", "val/error", "val/size", "val/bias"]
    assert header == ["epoch", "step", *COLUMNS, *validated, "seconds"]
    history = twin.session.history
    for key in ("error", "size", "bias"):
        assert list(history[f"loss/{key}"]) == pytest.approx([m[key] for m in shown], rel=1e-5)
    assert list(history["loss"]) == list(history["loss/error"] + history["loss/size"])
    assert list(history["val"]) == list(history["val/error"] + history["val/size"])
    evaluated = load_session(tmp_path / "session").evaluate()
    assert list(evaluated) == validated
    assert evaluated["val/bias"] == history["val/bias"].iloc[-1]


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    runs = Runs(by_key(), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(3)


@pytest.mark.parametrize("count", [False, True], ids=["dict", "number"])
def test_values_are_weighed_by_their_counts(tmp_path: Path, count: bool) -> None:
    halves: Config = {"class": "dict_losses.Halves", "inputs": ["said", "y"]}
    if count:
        halves["count"] = {"class": "dict_losses.count_of"}
    session = create_session(by_key(halves), session_dir=tmp_path / "s")
    session.train()
    halves_of, net = dict_losses.Halves(), session.models["net"]
    with torch.no_grad():
        batches = [
            (halves_of(net(x), y), halves_of.count(x, y), len(x)) for x, y in batches_of(Points(10))
        ]
    evaluated = session.evaluate()
    for key in ("up", "down"):
        weights = [size if count else counts[key].item() for _, counts, size in batches]
        total = sum(v[key].item() * w for (v, _, _), w in zip(batches, weights, strict=True))
        assert evaluated[f"val/{key}"] == pytest.approx(total / sum(weights), rel=1e-5)
    assert evaluated["val"] == evaluated["val/up"] + evaluated["val/down"]


@pytest.mark.parametrize("given", [TWO, {"class": "dict_losses.Halves", "inputs": ["said", "y"]}])
def test_gradients_are_accumulated(tmp_path: Path, given: Config) -> None:
    """Batches of 4, 4 and 2 are as one of 10."""
    twin = Twin(by_key(given, {"gradient_accumulation": 3}), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10), 10):
            optimizer.zero_grad()
            said = net(x)
            values = dict_losses.two(said, y) if given is TWO else dict_losses.Halves()(said, y)
            first, second = list(values.values())[:2]
            ((first + second) * 0.5 + (said - y).abs().mean() * 0.25).backward()
            optimizer.step()
    for mine, theirs in zip(net.parameters(), twin.session.models["net"].parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_its_values_can_be_monitored(tmp_path: Path) -> None:
    stops = {"stop_condition": made("TargetReached", "val/error", 100.0, mode="min")}
    spec = by_key(**stops)
    spec["checkpoints"] = {"best": {"monitor": "val/size"}}
    optimizer = next(d for d in spec["initialize"]["definitions"] if d["name"] == "descent")
    optimizer["spec"]["lr_scheduler"] = {
        **made("ReduceLROnPlateau"),
        "monitor": "loss/error",
        "interval": "step",
    }
    session = create_session(spec, session_dir=tmp_path / "s")
    session.train()
    assert len(session.history) == 1


@pytest.mark.parametrize("place", ["stop_condition", "best", "scheduler"])
def test_a_key_that_is_near_is_told(tmp_path: Path, place: str) -> None:
    spec = by_key()
    if place == "stop_condition":
        spec = by_key(stop_condition=made("EarlyStopping", "val/eror"))
    elif place == "best":
        spec["checkpoints"] = {"best": {"monitor": "val/eror"}}
    else:
        optimizer = next(d for d in spec["initialize"]["definitions"] if d["name"] == "descent")
        optimizer["spec"]["lr_scheduler"] = {**made("ReduceLROnPlateau"), "monitor": "val/eror"}
    with pytest.raises(ConfigError) as raised:
        create_session(spec, session_dir=tmp_path / "s")
    (problem,) = raised.value.problems
    assert problem.message == 'no row has "val/eror"; did you mean "val/error"?'


@pytest.mark.parametrize("number", [False, True])
def test_keys_that_change_are_an_error(tmp_path: Path, number: bool) -> None:
    drifting = {**made("dict_losses.Drifting", 6, number=number), "inputs": ["said", "y"]}
    session = create_session(by_key(drifting), session_dir=tmp_path / "s")
    now = "one number" if number else '"mistake"'
    message = f'the loss "given" gave "error" at first, and gives {now} now'
    with pytest.raises(DataError, match=message):
        session.train()


def test_other_keys_after_a_resume_are_an_error(tmp_path: Path) -> None:
    session = Runs(by_key(), tmp_path).cut("cut", iteration=4)
    for pipeline in (*session.stages[0].training, *session.stages[0].validation):
        pipeline.losses[0].loss.keys = ("error", "size")
    with pytest.raises(DataError, match='gave "error", "size", "bias" when the stage began'):
        session.train()


def test_another_report_needs_a_new_session_or_is_accepted(tmp_path: Path) -> None:
    path = Runs(by_key(), tmp_path).cut("cut", iteration=4).path
    setting = 'given.report=["size"]'
    with pytest.raises(ConfigError, match="it decides what is minimised"):
        load_session(path, settings=[setting])
    session = load_session(path, settings=[setting], accept_changes=True)
    session.train()
    last = session.history.iloc[-1]
    assert last["val"] == last["val/error"] + last["val/bias"]


def test_the_key_that_is_not_finite_is_named(tmp_path: Path) -> None:
    infinite = {**made("dict_losses.Infinite"), "inputs": ["said", "y"]}
    session = create_session(by_key(infinite), session_dir=tmp_path / "s")
    with pytest.raises(NotFinite, match=r'^the loss "loss/wrong" is inf, in iteration 1'):
        session.train()


WRONG: dict[str, tuple[Config, str]] = {
    "a report of nothing": (
        {**TWO, "report": ["bia"]},
        'the loss "given" has no key "bia", which "report" names; did you mean "bias"?',
    ),
    "a report of all": (
        {**TWO, "report": ["bias", "error", "size"]},
        '"report" names every key of the loss "given", so that nothing is minimised',
    ),
    "a report of one number": (
        {**made("MSELoss"), "inputs": ["said", "y"], "report": ["bias"]},
        'the loss "given" gives one number, and "report" names "bias"',
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, wrong: str) -> None:
    given, message = WRONG[wrong]
    with pytest.raises(ConfigError) as raised:
        create_session(by_key(given), session_dir=tmp_path / "s")
    assert {problem.message.partition(" (in")[0] for problem in raised.value.problems} == {message}
