"""Natural language inference: one encoder, used for both sentences of a pair."""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import Config, Twin, batches_of
from exact_runs import Runs
from recipe_inference_parts import Pairs
from torch.nn.functional import cross_entropy

PARTS = "recipe_inference_parts"


def recipe() -> Config:
    """Two nodes share a model and its optimizer; the number of a pair is dropped."""

    def adam(model: str) -> Config:
        return {"class": "Adam", "model": model, "kwargs": {"lr": 0.001}}

    def encoding(name: str, column: str) -> Config:
        return {
            "model_name": "encoder",
            "name": f"{column} encoder",
            "inputs": {"words": column},
            "outputs": [name],
            "optimizer_name": "encoding",
        }

    groups: dict[str, dict[str, Config]] = {
        "datasets": {"pairs": {"class": f"{PARTS}.Pairs", "args": [10]}},
        "loader_factories": {
            "batches": {"dataset": "pairs", "kwargs": {"batch_size": 4, "shuffle": False}}
        },
        "models": {
            "encoder": {"class": f"{PARTS}.Encoder"},
            "classifier": {"class": f"{PARTS}.Classifier"},
        },
        "optimizers": {"encoding": adam("encoder"), "classifying": adam("classifier")},
        "losses": {"error": {"class": "CrossEntropyLoss", "inputs": ["scores", "label"]}},
        "batch_processors": {
            "infer": {
                "neural_graph": [
                    encoding("first", "premise"),
                    encoding("second", "hypothesis"),
                    {
                        "model_name": "classifier",
                        "inputs": {"premise": "first", "hypothesis": "second"},
                        "outputs": ["scores"],
                        "optimizer_name": "classifying",
                    },
                ]
            }
        },
    }
    columns = ["premise", "hypothesis", "label", "_"]
    return {
        "seed": 2,
        "device": "cpu",
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                "training": {
                    "input_factories": [{"loader_factory": "batches", "variable_names": columns}],
                    "losses": [{"loss_name": "error"}],
                }
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["training"],
                    "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 2}},
                }
            ]
        },
    }


def train(twin: Twin) -> None:
    """The same by hand, with one optimizer."""
    encoder, classifier = twin.models["encoder"], twin.models["classifier"]
    optimizer = torch.optim.Adam([*encoder.parameters(), *classifier.parameters()], lr=0.001)
    for _ in range(2):
        for premise, hypothesis, label, _number in batches_of(Pairs(10)):
            optimizer.zero_grad()
            cross_entropy(classifier(encoder(premise), encoder(hypothesis)), label).backward()
            optimizer.step()


def test_it_equals_a_plain_loop(tmp_path: Path) -> None:
    twin = Twin(recipe(), tmp_path)
    train(twin)
    twin.check()


def test_it_can_be_cut(tmp_path: Path) -> None:
    Runs(recipe(), tmp_path).check_cuts([1, 4])
