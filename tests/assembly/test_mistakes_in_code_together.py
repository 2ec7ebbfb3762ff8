"""Mistakes in names of code and in arguments, together, and with those in names of the config.

What tests/config plants is about the config alone; here classes are looked up and arguments too.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from torchassistant import config as language
from torchassistant.assembly import Allowlist, survey
from torchassistant.config.tree import path_text
from torchassistant.errors import UserCodeError

PARTS = """
import torch
from torch import nn

class Points(torch.utils.data.Dataset):
    def __init__(self, count=8):
        self.count = count
    def __len__(self):
        return self.count
    def __getitem__(self, index):
        return torch.zeros(3), torch.zeros(1)

class Net(nn.Module):
    def __init__(self, inner, size=1):
        super().__init__()
        self.inner = inner
"""

CONFIG: dict[str, Any] = {
    "initialize": {
        "definitions": [
            {"group": "datasets", "name": "points", "spec": {"class": "parts.Points"}},
            {
                "group": "loader_factories",
                "name": "batches",
                "spec": {"dataset": "points", "kwargs": {"batch_size": 4}},
            },
            {
                "group": "loader_factories",
                "name": "held",
                "spec": {"dataset": "points", "kwargs": {"batch_size": 2}},
            },
            {
                "group": "models",
                "name": "net",
                "spec": {
                    "class": "parts.Net",
                    "kwargs": {
                        "inner": {
                            "class": "torch.nn.Linear",
                            "args": [3, 1],
                            "kwargs": {"bias": True},
                        },
                        "size": 2,
                    },
                },
            },
            {
                "group": "optimizers",
                "name": "adam",
                "spec": {"class": "Adam", "model": "net", "kwargs": {"lr": 0.1}},
            },
            {
                "group": "losses",
                "name": "mse",
                "spec": {"class": "MSELoss", "inputs": ["z", "y"], "kwargs": {"reduction": "sum"}},
            },
            {
                "group": "batch_processors",
                "name": "first",
                "spec": {
                    "neural_graph": [
                        {
                            "model_name": "net",
                            "inputs": ["x"],
                            "outputs": ["z"],
                            "optimizer_name": "adam",
                        }
                    ]
                },
            },
            {
                "group": "batch_processors",
                "name": "second",
                "spec": {
                    "input_adapter": {"class": "SelectInputs", "args": [{"net": {"z": "z"}}]},
                    "neural_graph": [{"model_name": "net", "inputs": ["z"], "outputs": ["w"]}],
                },
            },
            {
                "group": "batch_graphs",
                "name": "graph",
                "spec": {
                    "nodes": ["first", "second"],
                    "input_aliases": ["port"],
                    "ingoing_edges": {"first": ["port"], "second": ["first"]},
                },
            },
        ],
        "pipelines": {
            name: {
                "graph": "graph",
                "input_factories": [
                    {"input_alias": "port", "variable_names": ["x", "y"], "loader_factory": loader}
                ],
                "losses": [{"loss_name": "mse", "node_name": "first", "loss_display_name": shown}],
            }
            for name, loader, shown in (("fit", "batches", "loss"), ("val", "held", "val loss"))
        },
    },
    "train": {
        "stages": [
            {
                "training_pipelines": ["fit"],
                "validation_pipelines": ["val"],
                "stop_condition": {
                    "class": "EarlyStopping",
                    "kwargs": {"monitor": "val loss", "patience": 2},
                },
            }
        ]
    },
}
_DATA, _BATCHES, _HELD, _NET, _ADAM, _MSE, _FIRST, _SECOND, _GRAPH = (
    ("initialize", "definitions", index) for index in range(9)
)
_STAGE = ("train", "stages", 0)
_NODE = ("spec", "neural_graph", 0)


def put(*path: str | int, to: Any) -> Callable[[Any], str]:
    """Another value; the problem is told there."""

    def plant(config: Any) -> str:
        holder = config
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = to
        return path_text(path)

    return plant


def rename(*path: str | int, to: str) -> Callable[[Any], str]:
    """Another key for a value; the problem is told of the key."""

    def plant(config: Any) -> str:
        holder = config
        for step in path[:-1]:
            holder = holder[step]
        renamed = {to if key == path[-1] else key: value for key, value in holder.items()}
        holder.clear()
        holder.update(renamed)
        return path_text((*path[:-1], to))

    return plant


MISTAKES: dict[str, Callable[[Any], str]] = {
    "a class that is not there": put(*_NET, "spec", "class", to="parts.Nett"),
    "an argument beside it": rename(*_NET, "spec", "kwargs", "size", to="sizes"),
    "a nested class": put(*_NET, "spec", "kwargs", "inner", "class", to="torch.nn.Linaer"),
    "an argument beside that": rename(
        *_NET, "spec", "kwargs", "inner", "kwargs", "bias", to="bais"
    ),
    "an optimizer that is not there": put(*_ADAM, "spec", "class", to="Adma"),
    "an argument of the optimizer": rename(*_ADAM, "spec", "kwargs", "lr", to="learn"),
    "a loss that is not there": put(*_MSE, "spec", "class", to="MSELos"),
    "an argument of the loss": rename(*_MSE, "spec", "kwargs", "reduction", to="reductoin"),
    "a module that is not there": put(*_DATA, "spec", "class", to="prats.Points"),
    "an argument of a loader": rename(*_HELD, "spec", "kwargs", "batch_size", to="batch_sise"),
    "a value for a loader": put(*_BATCHES, "spec", "kwargs", "batch_size", to="many"),
    "a stop condition that is not there": put(
        *_STAGE, "stop_condition", "class", to="EarlyStoping"
    ),
    "an argument of the stop condition": rename(
        *_STAGE, "stop_condition", "kwargs", "patience", to="patiense"
    ),
    "what it listens to": put(*_STAGE, "stop_condition", "kwargs", "monitor", to="accuracy"),
    "an adapter that is not there": put(
        *_SECOND, "spec", "input_adapter", "class", to="SelectInput"
    ),
    "a column of the adapter": put(
        *_SECOND, "spec", "input_adapter", "args", 0, "net", "z", to="nothing"
    ),
    "a training pipeline": put(*_STAGE, "training_pipelines", 0, to="elsewhere"),
    "a validation pipeline": put(*_STAGE, "validation_pipelines", 0, to="nowhere"),
    "a node of the graph": put(*_GRAPH, "spec", "nodes", 1, to="somewhere"),
    "an input of another node": put(*_FIRST, *_NODE, "inputs", 0, to="nothing"),
    "a model": put(*_SECOND, *_NODE, "model_name", to="unknown"),
    "a group": put(*_ADAM, "group", to="helpers"),
    "another group": put(*_HELD, "group", to="sources"),
    "the group of a loss": put(*_MSE, "group", to="criteria"),
    "the group of the data": put(*_DATA, "group", to="files"),
    "a key": put("sede", to=1),
}


@pytest.fixture
def home(folder: Path) -> Path:
    """The working directory, with code of the user."""
    (folder / "parts.py").write_text(PARTS)
    return folder


def told(config: Any) -> list[str]:
    """The places of all problems."""
    diagnostics = language.read(config)
    spec = language.spec_of(diagnostics)
    assert spec is not None
    survey(spec, diagnostics, Allowlist(()))
    return sorted(problem.place.path for problem in diagnostics.in_order())


def planted(*titles: str) -> tuple[Any, list[str]]:
    """A config with mistakes, and where they are."""
    config = json.loads(json.dumps(CONFIG))
    return config, sorted(MISTAKES[title](config) for title in titles)


def test_each_is_told_once_and_nothing_else(home: Path) -> None:
    assert told(CONFIG) == []
    rng = random.Random(0)
    triples = [tuple(rng.sample(list(MISTAKES), 3)) for _ in range(100)]
    pairs = itertools.combinations(MISTAKES, 2)
    bad = {}
    for titles in (*((title,) for title in MISTAKES), *pairs, *triples):
        config, places = planted(*titles)
        found = told(config)
        if found != places:
            bad[titles] = (sorted({*places} - {*found}), sorted({*found} - {*places}))
    assert bad == {}


def test_what_fits_one_of_several_that_may_be_meant_is_not_told(home: Path) -> None:
    config, places = planted("an optimizer that is not there")
    config["initialize"]["definitions"][4]["spec"]["kwargs"]["maximize"] = True
    assert told(config) == places
    config["initialize"]["definitions"][4]["spec"]["class"] = "Unheard"
    config["initialize"]["definitions"][4]["spec"]["kwargs"]["quux"] = 1
    assert told(config) == places


def test_nothing_is_imported_for_a_guess(home: Path) -> None:
    (home / "pasts.py").write_text("raise SystemExit('was run')")
    (home / "parts.py").rename(home / "partz.py")
    config = json.loads(json.dumps(CONFIG).replace("parts.Points", "partz.Points"))
    config["initialize"]["definitions"][3]["spec"] = {"class": "pastz.Net", "kwargs": {"a": 1}}
    places = told(config)
    assert "initialize.definitions[3].spec.class" in places


def test_arguments_for_a_module_that_raises(home: Path) -> None:
    (home / "raising.py").write_text(PARTS + "\nraise ArithmeticError('no')\n")
    config, _ = planted()
    config["initialize"]["definitions"][3]["spec"]["class"] = "raising.Net"
    config["initialize"]["definitions"][3]["spec"]["kwargs"]["sizes"] = 3
    diagnostics = language.read(config)
    spec = language.spec_of(diagnostics)
    assert spec is not None
    with pytest.raises(UserCodeError, match="importing the module"):
        survey(spec, diagnostics, Allowlist(()))
    (problem,) = diagnostics.problems
    assert problem.message == 'Net has no argument "sizes"; did you mean "size"?'
