"""``find-lr``: the curve of a learning rate range test, and a session that it leaves as it is."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_config import Command, Config, files_of, pipeline, toy_config, write

from torchassistant import create_session
from torchassistant.errors import ConfigError
from torchassistant.session import find_learning_rate
from torchassistant.session.trials.learning_rate_search import Point, rising, suggested

TOYS = ["toys"]


def curve_of(smoothed: list[float]) -> list[Point]:
    rates = rising(1e-6, 1.0, len(smoothed))
    return [Point(rate, loss, loss) for rate, loss in zip(rates, smoothed, strict=True)]


def test_the_suggestion_is_where_the_loss_falls_most_steeply() -> None:
    falls_at = 1e-3
    fall = [1 / (1 + (rate / falls_at) ** 2) for rate in rising(1e-6, 1.0, 100)]
    found = suggested(curve_of([*fall[:80], *(10.0 * step for step in range(20))]))
    assert found == pytest.approx(falls_at, rel=0.2)


@pytest.mark.parametrize("losses", [[1.0 + step for step in range(50)], [1.0] * 50, [math.nan] * 9])
def test_a_loss_that_does_not_fall_suggests_nothing(losses: list[float]) -> None:
    assert suggested(curve_of(losses)) is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40))
def test_a_suggestion_lies_between_the_rates(losses: list[float]) -> None:
    found = suggested(curve_of(losses))
    assert found is None or 1e-6 < found < 1.0


def test_find_lr(tmp_path: Path, command: Command, interpreter: Command) -> None:
    write(tmp_path / "c.json", toy_config())
    done = interpreter("-m", "torchassistant", "find-lr", "c.json", "--json", "--steps", "20")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"] is None
    assert list(files_of(tmp_path)) == ["c.json"]

    assert command("init.py", "c.json").returncode == 0
    before = files_of(tmp_path)
    done = command("-m", "torchassistant", "find-lr", "run", "--min", "1e-5", "--max", "1e3")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "learning rate"
    assert len(lines) <= 27
    assert lines[-1] == "the curve is in run/find-lr/adam.json"
    stored = json.loads((tmp_path / "run/find-lr/adam.json").read_text())
    assert f"--set adam.kwargs.lr={stored['suggestion']:.2g} sets it" in lines[-2]
    assert stored["diverged"]
    assert len(stored["curve"]) < 100
    assert 1e-5 < stored["suggestion"] < stored["best_lr"] < 1e3
    factors = {round(b["lr"] / a["lr"], 6) for a, b in pairwise(stored["curve"])}
    assert len(factors) == 1

    done = command("-m", "torchassistant", "find-lr", "run", "--json", "--steps", "10")
    found = json.loads(done.stdout)
    assert found.pop("file") == str(tmp_path / "run/find-lr/adam.json")
    assert json.loads((tmp_path / "run/find-lr/adam.json").read_text()) == found
    after = files_of(tmp_path)
    assert {name: after[name] for name in after if "find-lr" not in name} == before
    assert command("init.py", "c.json", "--replace", "run").returncode == 0

    (tmp_path / "run" / "find-lr").touch()
    done = command("-m", "torchassistant", "find-lr", "run", "--json", "--steps", "10")
    assert done.returncode == 1
    assert json.loads(done.stdout)["file"] is None
    said = "run/find-lr/adam.json cannot be written: Not a directory (run/find-lr)"
    assert done.stderr == f"error: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--min", "1", "--max", "0.1"], "--min (1) must be less than --max"),
        (["run", "--steps", "9"], "must be a whole number of at least 10; found '9'"),
        (["run", "--min", "zero"], "must be a number above 0; found 'zero'"),
        (["run", "--max", "inf"], "must be a number above 0; found 'inf'"),
        (["."], "is not a session"),
        (["none.json"], "none.json"),
    ],
)
def test_mistakes(command: Command, arguments: list[str], said: str) -> None:
    done = command("-m", "torchassistant", "find-lr", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_that_are_not_finite_end_it(tmp_path: Path) -> None:
    sgd = {"class": "SGD", "model": "net", "kwargs": {"lr": 0.1}}
    session = create_session(toy_config(adam=sgd), tmp_path / "run", trust=TOYS, preflight=False)
    found = find_learning_rate(session, None, 1.0, 1e30, 40)
    assert found.diverged
    json.dumps(found.data(), allow_nan=False)
    assert session.optimizers["adam"].param_groups[0]["lr"] > 1.0


def of_two() -> Config:
    """Two nets, each with an optimizer and a loss of its own."""
    nodes = [
        {"model_name": net, "inputs": ["x"], "outputs": [out], "optimizer_name": optimizer}
        for net, out, optimizer in (("net", "y_hat", "adam"), ("other", "z", "sgd"))
    ]
    config = toy_config(
        other=("models", {"class": "toys.Net"}),
        sgd=("optimizers", {"class": "SGD", "model": "other", "kwargs": {"lr": 0.1}}),
        far=("losses", {"class": "MSELoss", "inputs": ["z", "y"]}),
        processor={"neural_graph": nodes, "device": "cpu"},
    )
    fit: Any = pipeline("training", "loss")
    fit["losses"].append({"loss_name": "far", "loss_display_name": "far"})
    config["initialize"]["pipelines"]["fit"] = fit
    return config


def test_of_several_optimizers_one_is_named(tmp_path: Path) -> None:
    session = create_session(of_two(), tmp_path / "run", trust=TOYS, preflight=False)
    with pytest.raises(ConfigError, match='"adam", "sgd"; --optimizer NAME'):
        find_learning_rate(session)
    with pytest.raises(ConfigError, match='no optimizer is named "adm"; did you mean "adam"'):
        find_learning_rate(session, "adm")
    found = find_learning_rate(session, "sgd", 0.001, 0.5, 12)
    assert (found.optimizer, len(found.curve)) == ("sgd", 12)
    assert session.optimizers["sgd"].param_groups[0]["lr"] == pytest.approx(0.5)
    assert session.optimizers["adam"].param_groups[0]["lr"] == 0.01
