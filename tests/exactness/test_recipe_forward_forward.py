"""Forward-forward (Hinton, 2022): each layer learns by itself, one after the other.

Each layer is a model with an optimizer and a loss of its own, on what the layers before it give,
detached; one stage trains one layer.
"""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import Config, Twin, batches_of
from exact_runs import Runs
from stage_parts import Goodness, Overlaid
from torch.optim import Adam


def recipe() -> Config:
    """Two layers; the pipeline of the second runs the first as it has become."""

    def nodes(layer: str, kind: str, inputs: str, outputs: str, optimizer: bool) -> Config:
        trained = {"optimizer_name": f"adam of {layer}"} if optimizer else {}
        return {
            "model_name": layer,
            "name": f"{layer} on {kind}",
            "inputs": [inputs],
            "outputs": [outputs],
            **trained,
        }

    def both(layer: str, given: str, made: str, optimizer: bool = True) -> list[Config]:
        kinds = ("positive", "negative")
        return [nodes(layer, k, f"{given}{k}", f"{made}{k}", optimizer) for k in kinds]

    layers = {"first": [64, 12], "second": [12, 12]}
    graphs = {
        "first": both("first", "", "h_"),
        "second": [*both("first", "", "h_", optimizer=False), *both("second", "h_", "g_")],
    }
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"digits": {"class": "stage_parts.Overlaid", "args": [10]}},
        "loader_factories": {
            "batches": {"dataset": "digits", "kwargs": {"batch_size": 5, "shuffle": False}}
        },
        "models": {
            name: {"class": "stage_parts.ForwardLayer", "args": args}
            for name, args in layers.items()
        },
        "optimizers": {
            f"adam of {name}": {"class": "Adam", "model": name, "kwargs": {"lr": 0.03}}
            for name in layers
        },
        "losses": {
            f"goodness of {name}": {
                "class": "stage_parts.Goodness",
                "inputs": [f"{made}positive", f"{made}negative"],
            }
            for name, made in (("first", "h_"), ("second", "g_"))
        },
        "batch_processors": {
            f"up to {name}": {"neural_graph": graph} for name, graph in graphs.items()
        },
        "batch_graphs": {f"graph of {name}": {"nodes": [f"up to {name}"]} for name in graphs},
    }
    return {
        "seed": 7,
        "device": "cpu",
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                f"train {name}": {
                    "graph": f"graph of {name}",
                    "input_factories": [
                        {"loader_factory": "batches", "variable_names": ["positive", "negative"]}
                    ],
                    "losses": [{"loss_name": f"goodness of {name}"}],
                }
                for name in graphs
            },
        },
        "train": {
            "stages": [
                {
                    "name": name,
                    "training_pipelines": [f"train {name}"],
                    "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 3}},
                }
                for name in graphs
            ]
        },
    }


def test_forward_forward(tmp_path: Path) -> None:
    twin = Twin(recipe(), tmp_path)
    first, second = twin.models["first"], twin.models["second"]
    goodness = Goodness()
    optimizer = Adam(first.parameters(), lr=0.03)
    for _ in range(3):
        for positive, negative in batches_of(Overlaid(10), 5):
            optimizer.zero_grad()
            goodness(first(positive), first(negative)).backward()
            optimizer.step()
    optimizer = Adam(second.parameters(), lr=0.03)
    for _ in range(3):
        for positive, negative in batches_of(Overlaid(10), 5):
            with torch.no_grad():
                positive, negative = first(positive), first(negative)
            optimizer.zero_grad()
            goodness(second(positive), second(negative)).backward()
            optimizer.step()
    twin.check()


def test_forward_forward_is_cut(tmp_path: Path) -> None:
    Runs(recipe(), tmp_path).check_cuts([1, 5, 6, 7, 11])
