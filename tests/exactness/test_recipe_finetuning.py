"""Fine-tuning: first the head over a frozen backbone, then both, the backbone more slowly."""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    loader,
    loss,
    made,
    node,
    stage,
)
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

HERE = __name__
SLOW = 1e-3


class Insects(Dataset[tuple[Tensor, int]]):
    """Pictures float32 (3, 6, 6) of two kinds."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(4)
        self.pictures = torch.randn(count, 3, 6, 6, generator=generator)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = self.pictures[index]
        return picture, int(picture.mean() > 0)


class Backbone(nn.Module):
    """Pictures (batch, 3, 6, 6) to features (batch, 5); its norm has seen other pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        with torch.no_grad():
            self.norm.running_mean.fill_(0.2)
            self.norm.running_var.fill_(0.7)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x))).mean((2, 3))


def head() -> nn.Module:
    """Features (batch, 5) to scores (batch, 2)."""
    return nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2))


def finetuning() -> Config:
    adamw = {
        **made("AdamW", lr=1e-2, weight_decay=0.1),
        "model": ["backbone", "head"],
        "parameters": [
            {
                "match": ["backbone:norm", "backbone:*.bias"],
                "kwargs": {"lr": SLOW, "weight_decay": 0},
            },
            {"match": "backbone", "kwargs": {"lr": SLOW}},
            {"match": "*.bias", "kwargs": {"weight_decay": 0}},
            {"name": "norms", "types": ["LayerNorm"], "kwargs": {"weight_decay": 0}},
        ],
    }
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"insects": made(f"{HERE}.Insects", 14)},
        "loader_factories": {"batches": loader("insects")},
        "models": {"backbone": made(f"{HERE}.Backbone"), "head": made(f"{HERE}.head")},
        "optimizers": {"adamw": adamw},
        "losses": {"error": {**made("CrossEntropyLoss"), "inputs": ["scores", "y"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("backbone", "x", "features", "adamw"),
                    node("head", "features", "scores", "adamw"),
                ]
            }
        },
    }
    pipelines = {"fit": {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}}
    return config(
        groups,
        pipelines,
        stage("fit", name="head", frozen=[{"match": "backbone", "mode": "eval"}]),
        stage("fit", name="everything"),
    )


def test_it_trains_as_in_a_loop(tmp_path: Path) -> None:
    twin = Twin(finetuning(), tmp_path)
    backbone, head = twin.models["backbone"], twin.models["head"]
    assert isinstance(backbone, Backbone)
    assert isinstance(head, nn.Sequential)
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [backbone.conv.bias, backbone.norm.weight, backbone.norm.bias],
                "lr": SLOW,
                "weight_decay": 0,
            },
            {"params": [backbone.conv.weight], "lr": SLOW},
            {"params": [head[0].bias, head[1].bias, head[3].bias], "weight_decay": 0},
            {"params": [head[1].weight], "weight_decay": 0},
            {"params": [head[0].weight, head[3].weight]},
        ],
        lr=1e-2,
        weight_decay=0.1,
    )
    for is_frozen in (True, False):
        backbone.train(not is_frozen)
        backbone.requires_grad_(not is_frozen)
        for _ in range(2):
            for x, y in batches_of(Insects(14)):
                optimizer.zero_grad()
                cross_entropy(head(backbone(x)), y).backward()
                optimizer.step()
    twin.check()
    live = twin.session.optimizers["adamw"].param_groups
    assert [len(group["params"]) for group in live] == [3, 1, 3, 1, 2]


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    runs = Runs(finetuning(), tmp_path)
    runs.check_cuts(range(1, 16, 3))
    runs.check_all_cuts_in_one()
