"""An evaluation config laid over a session's: what is typed there is told there, and all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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
        evaluate_config(file, trust=["toys"])
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
