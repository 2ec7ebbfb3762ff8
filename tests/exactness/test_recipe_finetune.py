"""Fine-tuning: a head on a frozen backbone, whose batch norm is in eval mode; then all of it.

The second stage starts from the best epoch of the first, with a smaller rate for the backbone and
no weight decay for norms and biases.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from exact_configs import Config, Twin, batches_of
from exact_runs import Runs
from stage_parts import Pictures
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from torchassistant import create_session
from torchassistant.cli.tables import preflight_lines
from torchassistant.session.preflight import preflight


def recipe() -> Config:
    def of_torch(name: str, *args: object) -> Config:
        return {"class": f"torch.nn.{name}", "args": list(args)}

    def batches(dataset: str) -> Config:
        return {"dataset": dataset, "kwargs": {"batch_size": 4, "shuffle": False}}

    def classify(loader: str, shown: str) -> Config:
        return {
            "input_factories": [{"loader_factory": loader, "variable_names": ["image", "label"]}],
            "losses": [{"loss_name": "entropy", "loss_display_name": shown}],
        }

    def epochs(count: int) -> Config:
        return {"class": "EpochsCompleted", "kwargs": {"num_epochs": count}}

    backbone = of_torch(
        "Sequential",
        of_torch("Conv2d", 3, 4, 3),
        of_torch("BatchNorm2d", 4),
        of_torch("ReLU"),
        of_torch("AdaptiveAvgPool2d", 2),
        of_torch("Flatten"),
    )
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "pictures": {"class": "stage_parts.Pictures", "args": [12]},
            "others": {"class": "stage_parts.Pictures", "args": [6, 1]},
        },
        "loader_factories": {"training": batches("pictures"), "checking": batches("others")},
        "models": {"backbone": backbone, "head": of_torch("Linear", 16, 3)},
        "optimizers": {
            "adam": {
                "class": "AdamW",
                "model": ["backbone", "head"],
                "kwargs": {"lr": 0.05, "weight_decay": 0.1},
                "parameters": [
                    {"match": "head:bias", "kwargs": {"weight_decay": 0.0}},
                    {
                        "match": ["backbone:*.bias", "backbone:1.*"],
                        "kwargs": {"lr": 0.001, "weight_decay": 0.0},
                    },
                    {"match": "backbone", "kwargs": {"lr": 0.001}},
                ],
            }
        },
        "losses": {"entropy": {"class": "CrossEntropyLoss", "inputs": ["scores", "label"]}},
        "batch_processors": {
            "net": {
                "neural_graph": [
                    {
                        "model_name": "backbone",
                        "inputs": ["image"],
                        "outputs": ["features"],
                        "optimizer_name": "adam",
                    },
                    {
                        "model_name": "head",
                        "inputs": ["features"],
                        "outputs": ["scores"],
                        "optimizer_name": "adam",
                    },
                ]
            }
        },
    }
    both = {"training_pipelines": ["fit"], "validation_pipelines": ["check"]}
    return {
        # No kernel of CUDA's is so for the gradient of its pooling.
        "deterministic": False,
        "seed": 3,
        "device": "cpu",
        "checkpoints": {"keep_last": 1, "best": {"monitor": "val loss"}},
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                "fit": classify("training", "loss"),
                "check": classify("checking", "val loss"),
            },
        },
        "train": {
            "stages": [
                {
                    **both,
                    "name": "head",
                    "frozen": [{"match": "backbone", "mode": "eval"}],
                    "stop_condition": epochs(3),
                },
                {
                    **both,
                    "name": "all",
                    "start_from": {"stage": "head", "checkpoint": "best"},
                    "reset": ["optimizers.adam"],
                    "stop_condition": epochs(2),
                },
            ]
        },
    }


def optimizer_of(backbone: nn.Module, head: nn.Module) -> AdamW:
    """In the order of the groups; those who have no rate of their own are the rest."""
    named = dict(backbone.named_parameters())
    plain = [named.pop("0.weight")]
    (weight, bias) = head.parameters()
    groups = [
        {"params": [bias], "weight_decay": 0.0},
        {"params": list(named.values()), "lr": 0.001, "weight_decay": 0.0},
        {"params": plain, "lr": 0.001},
        {"params": [weight]},
    ]
    return AdamW(groups, lr=0.05, weight_decay=0.1)


def test_finetune(tmp_path: Path) -> None:
    twin = Twin(recipe(), tmp_path)
    backbone, head = twin.models["backbone"], twin.models["head"]
    best, least = {}, float("inf")

    def train(optimizer: AdamW) -> None:
        for image, label in batches_of(Pictures(12)):
            optimizer.zero_grad()
            cross_entropy(head(backbone(image)), label).backward()
            optimizer.step()

    def validate() -> float:
        was = backbone.training
        backbone.eval()
        losses = []
        with torch.no_grad():
            for image, label in batches_of(Pictures(6, 1)):
                losses.append((float(cross_entropy(head(backbone(image)), label)), len(label)))
        backbone.train(was)
        return sum(loss * count for loss, count in losses) / 6

    backbone.requires_grad_(False).eval()
    optimizer = optimizer_of(backbone, head)
    for _ in range(3):
        train(optimizer)
        if (score := validate()) < least:
            least = score
            best = copy.deepcopy({"backbone": backbone.state_dict(), "head": head.state_dict()})

    backbone.load_state_dict(best["backbone"])
    head.load_state_dict(best["head"])
    backbone.requires_grad_(True).train()
    optimizer = optimizer_of(backbone, head)
    for _ in range(2):
        train(optimizer)
    twin.check()
    assert list(twin.session.history["stage"]) == ["head"] * 3 + ["all"] * 2


def test_what_init_shows(tmp_path: Path) -> None:
    session = create_session(recipe(), session_dir=tmp_path / "run")
    lines = [line for line in preflight_lines(preflight(session)) if line.startswith("stage")]
    assert lines == [
        'stage 1 ("head"): trains head',
        'stage 1 ("head"): freezes backbone (120 parameters, 6 modules in eval mode)',
        'stage 2 ("all"): starts from the best state in stage 1 ("head")',
        'stage 2 ("all"): resets optimizers.adam',
        'stage 2 ("all"): trains backbone, head',
    ]


def test_finetune_is_cut(tmp_path: Path) -> None:
    runs = Runs(recipe(), tmp_path)
    runs.check_cuts([2, 8, 9, 10, 12])
    runs.check_all_cuts_in_one()
