"""Knowledge distillation: soft targets at a temperature, and matched features of inner layers."""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import Config, Twin, batches_of
from exact_runs import Runs
from recipe_distillation_parts import Images
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss, softmax


def recipe() -> Config:
    """A teacher is trained; then a student, by labels, the teacher's scores and its features."""

    def network(width: int, deep: bool) -> Config:
        return {"class": "recipe_distillation_parts.Network", "args": [width, deep]}

    def adam(model: str) -> Config:
        return {"class": "Adam", "model": model, "kwargs": {"lr": 0.001}}

    inputs = [{"loader_factory": "batches", "variable_names": ["image", "label"]}]
    epochs = {"class": "EpochsCompleted", "kwargs": {"num_epochs": 2}}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"images": {"class": "recipe_distillation_parts.Images", "args": [10]}},
        "loader_factories": {
            "batches": {"dataset": "images", "kwargs": {"batch_size": 4, "shuffle": False}}
        },
        "models": {
            "teacher": network(6, True),
            "student": network(3, False),
            "regressor": {"class": "torch.nn.Conv2d", "args": [3, 6, 1]},
        },
        "optimizers": {
            "teaching": adam("teacher"),
            "learning": adam("student"),
            "regressing": adam("regressor"),
        },
        "losses": {
            "labels": {"class": "CrossEntropyLoss", "inputs": ["scores", "label"]},
            "soft": {
                "class": "KLDistillation",
                "kwargs": {"temperature": 2.0},
                "inputs": ["scores", "teacher_scores"],
            },
            "features": {"class": "FeatureMatching", "inputs": ["lifted", "wanted"]},
        },
        "batch_processors": {
            "teach": {
                "neural_graph": [
                    {
                        "model_name": "teacher",
                        "inputs": ["image"],
                        "outputs": ["scores"],
                        "optimizer_name": "teaching",
                    }
                ]
            },
            "distil": {
                "neural_graph": [
                    {
                        "model_name": "teacher",
                        "mode": "eval",
                        "inputs": ["image"],
                        "outputs": ["teacher_scores"],
                        "taps": {"wanted": "features"},
                    },
                    {
                        "model_name": "student",
                        "inputs": ["image"],
                        "outputs": ["scores"],
                        "taps": {"hidden": "features"},
                        "optimizer_name": "learning",
                    },
                    {
                        "model_name": "regressor",
                        "inputs": ["hidden"],
                        "outputs": ["lifted"],
                        "optimizer_name": "regressing",
                    },
                ]
            },
        },
        "batch_graphs": {
            name: {
                "nodes": [name],
                "input_aliases": ["input"],
                "ingoing_edges": {name: ["input"]},
            }
            for name in ("teach", "distil")
        },
    }
    return {
        "seed": 4,
        "device": "cpu",
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                "teach": {
                    "graph": "teach",
                    "input_factories": inputs,
                    "losses": [{"loss_name": "labels"}],
                },
                "distil": {
                    "graph": "distil",
                    "input_factories": inputs,
                    "losses": [
                        {"loss_name": "labels", "weight": 0.75},
                        {"loss_name": "soft", "weight": 0.25},
                        {"loss_name": "features", "weight": 0.5},
                    ],
                },
            },
        },
        "train": {
            "stages": [
                {"training_pipelines": ["teach"], "stop_condition": epochs},
                {"training_pipelines": ["distil"], "stop_condition": epochs},
            ]
        },
    }


def train(twin: Twin) -> None:
    """The same by hand."""
    teacher, student, regressor = (
        twin.models[name] for name in ("teacher", "student", "regressor")
    )
    optimizer = torch.optim.Adam(teacher.parameters(), lr=0.001)
    for _ in range(2):
        for image, label in batches_of(Images(10)):
            optimizer.zero_grad()
            cross_entropy(teacher(image), label).backward()
            optimizer.step()
    seen: dict[str, Tensor] = {}
    teacher.eval()
    teacher.features.register_forward_hook(lambda m, args, out: seen.update(wanted=out))
    student.features.register_forward_hook(lambda m, args, out: seen.update(hidden=out))
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.001) for model in (student, regressor)]
    for _ in range(2):
        for image, label in batches_of(Images(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            with torch.no_grad():
                wanted_scores = teacher(image)
            scores = student(image)
            soft = kl_div(
                log_softmax(scores / 2.0, 1), softmax(wanted_scores / 2.0, 1), reduction="batchmean"
            )
            features = mse_loss(regressor(seen["hidden"]), seen["wanted"])
            total = 0.75 * cross_entropy(scores, label) + 0.25 * (soft * 2.0**2) + 0.5 * features
            total.backward()
            for optimizer in optimizers:
                optimizer.step()


def test_it_equals_a_plain_loop(tmp_path: Path) -> None:
    twin = Twin(recipe(), tmp_path)
    train(twin)
    twin.check()


def test_it_can_be_cut(tmp_path: Path) -> None:
    Runs(recipe(), tmp_path).check_cuts([1, 3, 6, 8, 11])
