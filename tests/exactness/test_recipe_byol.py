"""BYOL: a network predicts what its own moving average says of another view of each example."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim import SGD
from torch.utils.data import Dataset

MOMENTUM = 0.9


class TwoViews(Dataset[tuple[Tensor, Tensor]]):
    """Two views of each example, each float32 (4,)."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(count, 4, generator=generator)
        self.noise = 0.1 * torch.randn(2, count, 4, generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index] + self.noise[0, index], self.x[index] + self.noise[1, index]


class ByolLoss(nn.Module):
    """2 - 2 cos of each prediction (B, D) and the target of the other view (B, D)."""

    def forward(self, p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
        return (_distance(p1, z2) + _distance(p2, z1)).mean()


def _distance(prediction: Tensor, target: Tensor) -> Tensor:
    return 2 - 2 * (normalize(prediction, dim=1) * normalize(target, dim=1)).sum(1)


def byol(epochs: int = 2) -> Config:
    """The config."""
    this = "test_recipe_byol"
    encoder = layers(
        layer("Linear", 4, 8), layer("BatchNorm1d", 8), layer("ReLU"), layer("Linear", 8, 3)
    )
    predictor = layers(
        layer("Linear", 3, 8), layer("BatchNorm1d", 8), layer("ReLU"), layer("Linear", 8, 3)
    )
    groups = {
        "datasets": {"views": made(f"{this}.TwoViews", 12)},
        "loader_factories": {"views": loader("views")},
        "models": {
            "online": encoder,
            "predictor": predictor,
            "target": {"average_of": "online", "decay": MOMENTUM, "first": "blend"},
        },
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.05), ["online", "predictor"])},
        "losses": {"byol": {**made(f"{this}.ByolLoss"), "inputs": ["p1", "p2", "z1", "z2"]}},
        "batch_processors": {
            "views": {
                "neural_graph": [
                    node("online", "x1", "h1", "sgd", name="online 1"),
                    node("predictor", "h1", "p1", "sgd", name="predictor 1"),
                    node("online", "x2", "h2", "sgd", name="online 2"),
                    node("predictor", "h2", "p2", "sgd", name="predictor 2"),
                    node("target", "x1", "z1", name="target 1"),
                    node("target", "x2", "z2", name="target 2"),
                ]
            }
        },
    }
    fit = {"input_factories": [feed("views", "x1 x2")], "losses": [loss("byol")]}
    return config(groups, {"fit": fit}, stage("fit", epochs=epochs))


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(byol(), tmp_path)
    online, predictor = twin.models["online"], twin.models["predictor"]
    target = copy.deepcopy(online).requires_grad_(False)
    optimizer = SGD([*online.parameters(), *predictor.parameters()], lr=0.05)
    criterion = ByolLoss()
    for _ in range(2):
        for x1, x2 in batches_of(TwoViews(12)):
            p1 = predictor(online(x1))
            p2 = predictor(online(x2))
            with torch.no_grad():
                z1, z2 = target(x1), target(x2)
            optimizer.zero_grad()
            criterion(p1, p2, z1, z2).backward()
            optimizer.step()
            with torch.no_grad():
                for average, current in zip(target.parameters(), online.parameters(), strict=True):
                    average.lerp_(current, 1 - MOMENTUM)
                for average, current in zip(target.buffers(), online.buffers(), strict=True):
                    average.copy_(current)
    twin.models["target"].load_state_dict(target.state_dict())
    twin.check()


def test_every_cut_ends_in_the_same_bits(tmp_path: Path) -> None:
    Runs(byol(), tmp_path).check_cuts()
