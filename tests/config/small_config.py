"""A whole small config."""

from __future__ import annotations

from typing import Any

CONFIG: dict[str, Any] = {
    "session_dir": "runs/one",
    "initialize": {
        "definitions": [
            {"group": "datasets", "name": "numbers", "spec": {"class": "pkg.Numbers"}},
            {
                "group": "splits",
                "name": "parts",
                "spec": {"dataset_name": "numbers", "ratio": [0.8, 0.2]},
            },
            {
                "group": "preprocessors",
                "name": "scale",
                "spec": {"class": "pkg.Scale", "fit": "parts.train"},
            },
            {
                "group": "datasets",
                "name": "training",
                "spec": {"link": "parts.train", "preprocessors": ["scale"]},
            },
            {"group": "loader_factories", "name": "batches", "spec": {"dataset": "training"}},
            {"group": "models", "name": "net", "spec": {"class": "pkg.Net"}},
            {
                "group": "optimizers",
                "name": "adam",
                "spec": {"class": "Adam", "model": "net", "kwargs": {"lr": 0.01}},
            },
            {
                "group": "losses",
                "name": "mse",
                "spec": {"class": "MSELoss", "inputs": ["y_hat", "y"]},
            },
            {
                "group": "batch_processors",
                "name": "processor",
                "spec": {
                    "neural_graph": [
                        {
                            "model_name": "net",
                            "inputs": ["x"],
                            "outputs": ["y_hat"],
                            "optimizer_name": "adam",
                        }
                    ]
                },
            },
            {
                "group": "batch_graphs",
                "name": "graph",
                "spec": {
                    "nodes": ["processor"],
                    "input_aliases": ["port"],
                    "ingoing_edges": {"processor": ["port"]},
                },
            },
        ],
        "pipelines": {
            "fit": {
                "graph": "graph",
                "input_factories": [
                    {
                        "input_alias": "port",
                        "variable_names": ["x", "y"],
                        "loader_factory": "batches",
                    }
                ],
                "losses": [{"loss_name": "mse", "node_name": "processor"}],
            }
        },
    },
    "train": {
        "stages": [
            {
                "training_pipelines": ["fit"],
                "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 2}},
            }
        ]
    },
}
