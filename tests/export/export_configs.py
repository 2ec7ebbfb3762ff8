"""Configs of the tests of ``export``: one pipeline over the parts, trained for one step or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchassistant

Config = dict[str, Any]
PARTS = ["export_parts"]


def config_of(
    models: dict[str, Config],
    graph: list[Config],
    *,
    data: Config | None = None,
    columns: list[str] | None = None,
    loader: Config | None = None,
    more: list[Config] | None = None,
    processor: Config | None = None,
    metrics: list[Config] | None = None,
    **inference: Any,
) -> Config:
    """A config with the pipeline ``look`` over one processor.

    Args:
        models: Specs by name.
        graph: The nodes of the processor.
        data: The dataset; left out: of two columns.
        columns: The names of its columns.
        loader: More of the loader factory.
        more: More definitions.
        processor: More of the processor.
        metrics: Of the pipeline.
        inference: How predictions are made.
    """
    loaders = {"dataset": "data", "kwargs": {"batch_size": 4}} | (loader or {})
    nodes = {"neural_graph": graph, "device": "cpu"} | (processor or {})
    definitions = [
        _one("datasets", "data", data or {"class": "export_parts.Examples"}),
        _one("loader_factories", "all", loaders),
        *(_one("models", name, spec) for name, spec in models.items()),
        *(more or []),
        _one("batch_processors", "net", nodes),
        _graph("look", "net"),
        *_TRAINED,
    ]
    feed = {"loader_factory": "all", "variable_names": columns or ["a", "b"]}
    return {
        "session_dir": "run",
        "seed": 1,
        "initialize": {
            "definitions": definitions,
            "pipelines": {
                "look": {"graph": "look", "input_factories": [feed], "metrics": metrics or []},
                "fit": {
                    "graph": "fit",
                    "input_factories": [
                        {"loader_factory": "fit_loader", "variable_names": ["fit_x", "fit_y"]}
                    ],
                    "losses": [{"loss_name": "fit_loss"}],
                },
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["fit"],
                    "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 1}},
                }
            ]
        },
        "inference": {"inference_pipeline": "look", **inference},
    }


def _one(group: str, name: str, spec: Config) -> Config:
    return {"group": group, "name": name, "spec": spec}


def _graph(name: str, processor: str) -> Config:
    spec = {"nodes": [processor], "input_aliases": ["in"], "ingoing_edges": {processor: ["in"]}}
    return _one("batch_graphs", name, spec)


_FIT = {"model_name": "fit", "inputs": ["fit_x"], "outputs": ["fit_z"], "optimizer_name": "fit_sgd"}
_TRAINED = [
    _one("datasets", "fit_data", {"class": "export_parts.Examples"}),
    _one("loader_factories", "fit_loader", {"dataset": "fit_data"}),
    _one("models", "fit", {"class": "torch.nn.Linear", "args": [3, 2]}),
    _one("optimizers", "fit_sgd", {"class": "SGD", "model": "fit", "kwargs": {"lr": 0.1}}),
    _one("batch_processors", "fit", {"neural_graph": [_FIT], "device": "cpu"}),
    _one("losses", "fit_loss", {"class": "MSELoss", "inputs": ["fit_z", "fit_y"]}),
    _graph("fit", "fit"),
]
"""A config has to train something; here that is beside what is exported."""


def session_of(config: Config, folder: Path) -> Any:
    """A new session, moved a little from its start where it has running statistics."""
    config = {**config, "session_dir": str(folder / "run")}
    return torchassistant.create_session(config, trust=PARTS)
