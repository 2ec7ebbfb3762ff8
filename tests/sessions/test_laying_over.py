"""An evaluation config laid over a session's: what is typed there is told there, and all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import toy_config, write

import torchassistant
from torchassistant.errors import ConfigError
from torchassistant.session import evaluate_config


@pytest.fixture
def run(tmp_path: Path) -> Path:
    model = {"class": "toys.Net", "args": []}
    config = toy_config(net=model)
    config["initialize"]["definitions"][2]["spec"]["kwargs"]["drop_last"] = True
    return torchassistant.create_session(config, tmp_path / "run", preflight=False).path


def problems(run: Path, run_ones: list[str], **initialize: Any) -> dict[str, str]:
    """What is told of an evaluation config: by line, of that file and no other."""
    config = {"session_dir": str(run), "validation_pipelines": run_ones, "initialize": initialize}
    file = run.parent / "evaluation.json"
    write(file, config)
    lines = file.read_text().splitlines()
    with pytest.raises(ConfigError) as caught:
        evaluate_config(file, trust=["toys", "odd_data"])
    found = caught.value.problems
    assert {problem.place.file for problem in found} == {str(file)}
    return {lines[problem.place.line - 1].strip(): problem.message for problem in found}


def held(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {
        "definitions": [
            {
                "group": "loader_factories",
                "name": "held",
                "spec": {"dataset": "parts.val", "kwargs": kwargs},
            }
        ],
        "pipelines": {
            "test": {
                "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "held"}],
                "losses": [{"loss_name": "mse", "loss_display_name": "test loss"}],
            }
        },
    }


@pytest.mark.parametrize("name", ["tset", "elsewhere"])
def test_an_unknown_pipeline_hides_nothing_that_is_brought_along(run: Path, name: str) -> None:
    told = problems(run, [name], **held({"batch_sise": 8}))
    assert list(told) == [f'"{name}"', '"batch_sise": 8']
    told = problems(run, [name], **held({"batch_size": 0}))
    assert list(told) == [f'"{name}"', '"batch_size": 0']


def test_another_class_keeps_no_argument_and_is_told_where_it_stands(run: Path) -> None:
    net = {"group": "models", "name": "net", "spec": {"class": "torch.nn.Linear"}}
    told = problems(run, ["check"], definitions=[net])
    assert list(told.values()) == ['Linear needs the arguments "in_features", "out_features"']
    net["spec"] = {"class": "toys.Net", "kwargs": {"nothing": 1}}
    told = problems(run, ["check"], definitions=[net])
    assert list(told) == ['"nothing": 1']


def cross_entropy(weight: list[float] | None) -> dict[str, Any]:
    tensor = None if weight is None else {"tensor": weight, "dtype": "float32"}
    kwargs = {"weight": tensor}
    return {"class": "CrossEntropyLoss", "kwargs": kwargs, "inputs": ["y_hat", "y"]}


@pytest.mark.parametrize("weight", [None, [1.0, 9.0, 1.0]])
def test_other_weights_of_a_loss_count(tmp_path: Path, weight: list[float] | None) -> None:
    """A session stores them; what is stored stands in for nothing that is written."""
    config = toy_config(
        points={"class": "odd_data.Classes", "args": ["", 1, -1]},
        net={"class": "torch.nn.Linear", "args": [2, 3]},
        checking={"dataset": "points", "kwargs": {"batch_size": 11}},
        mse=cross_entropy(weight),
    )
    session = torchassistant.create_session(config, tmp_path / "run", trust=["odd_data"])
    session.train()
    points = [session.datasets["points"][index] for index in range(11)]
    x, y = (torch.stack(column) for column in zip(*points, strict=True))
    y_hat = session.models["net"](x).detach()
    for other in ([9.0, 1.0, 1.0], [1.0, 9.0, 1.0], None):
        loss = {
            "group": "losses",
            "name": "mse",
            "spec": {"kwargs": cross_entropy(other)["kwargs"]},
        }
        file = tmp_path / "evaluation.json"
        write(file, {"session_dir": str(session.path), "initialize": {"definitions": [loss]}})
        expected = cross_entropy_of(y_hat, y, other)
        assert evaluate_config(file, trust=["odd_data"])["val loss"] == pytest.approx(expected)


def cross_entropy_of(y_hat: torch.Tensor, y: torch.Tensor, weight: list[float] | None) -> float:
    weights = None if weight is None else torch.tensor(weight)
    return torch.nn.functional.cross_entropy(y_hat, y, weights).item()


def test_a_group_that_is_none_is_the_group_of_that_name(run: Path) -> None:
    over = {"definitions": [{"group": "model", "name": "net", "spec": {"kwargs": {"widht": 1}}}]}
    assert list(problems(run, ["check"], **over)) == ['"group": "model",', '"widht": 1']


def test_steps_of_a_pipeline_that_is_not_evaluated(run: Path) -> None:
    with pytest.raises(ConfigError, match='"chekc" is not evaluated; did you mean "check"'):
        file = run.parent / "evaluation.json"
        write(file, {"session_dir": str(run), "eval_steps": {"chekc": 1}})
        evaluate_config(file, trust=["toys"])


def test_a_fitted_preprocessor_takes_no_other_arguments(tmp_path: Path) -> None:
    """All of its attributes are stored, and put back over what it is built with."""
    scale = {"class": "odd_data.Scale", "kwargs": {"by": 1.0}, "fit": "parts.train"}
    config = toy_config(
        scale=("preprocessors", scale),
        scaled=("datasets", {"link": "parts.val", "preprocessors": ["scale"]}),
        checking={"dataset": "scaled"},
    )
    run = torchassistant.create_session(config, tmp_path / "run", trust=["toys", "odd_data"]).path
    told = problems(run, ["check"], definitions=[over_of("scale", {"kwargs": {"by": 9.0}})])
    (message,) = told.values()
    assert 'the preprocessor "scale" was fitted' in message


def over_of(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"group": "preprocessors", "name": name, "spec": spec}
