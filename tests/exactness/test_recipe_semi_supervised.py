"""Few labelled examples and many unlabelled ones: cross-entropy, and consistency under noise."""

from __future__ import annotations

from pathlib import Path

import torch
from exact_configs import (
    Config,
    Twin,
    config,
    feed,
    graph,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    part,
    stage,
    trained_by,
)
from exact_parts import Classes, Points
from exact_runs import Runs
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import Adam
from torch.utils.data import Dataset

from torchassistant.data import derived
from torchassistant.data.batch_sampler import permutation

SEED = 11
LABELLED, UNLABELLED = 12, 44
"""Examples: 3 batches of 4 and 6 batches of 8, the last of which has 4."""


class Views(Dataset[tuple[Tensor, Tensor]]):
    """Examples without labels: x float32 (4,), and the same with noise."""

    def __init__(self, count: int) -> None:
        self.x = Points(count, seed=3).x
        self.noisy = self.x + 0.1 * Points(count, seed=4).x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.noisy[index]


def semi_supervised() -> Config:
    """The config."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "labelled": part("Classes", LABELLED),
            "unlabelled": made("test_recipe_semi_supervised.Views", UNLABELLED),
        },
        "loader_factories": {
            "labelled": loader("labelled", 4, shuffle=True),
            "unlabelled": loader("unlabelled", 8, shuffle=True),
        },
        "models": {"net": layers(layer("Linear", 4, 8), layer("Tanh"), layer("Linear", 8, 3))},
        "optimizers": {"adam": trained_by(made("Adam", lr=0.01), "net")},
        "losses": {
            "entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]},
            "consistency": {**made("MSELoss"), "inputs": ["of_noisy", "of_clean"]},
        },
        "batch_processors": {
            "supervised": {"neural_graph": [node("net", "x", "scores", "adam")]},
            "unsupervised": {
                "neural_graph": [
                    node("net", "x", "of_clean", "adam", name="clean"),
                    node("net", "noisy", "of_noisy", "adam", name="noisy"),
                ]
            },
        },
        "batch_graphs": {
            "both": graph("labelled unlabelled", supervised="labelled", unsupervised="unlabelled")
        },
    }
    training = {
        "input_factories": [
            {**feed("labelled", "x label", "labelled"), "when_exhausted": "restart"},
            feed("unlabelled", "x noisy", "unlabelled"),
        ],
        "losses": [
            loss("entropy", "supervised"),
            loss("consistency", "unsupervised", weight=0.5),
        ],
    }
    return config(groups, {"training": training}, stage("training", epochs=2))


def test_semi_supervised_training(tmp_path: Path) -> None:
    twin = Twin(semi_supervised(), tmp_path)
    net = twin.models["net"]
    optimizer = Adam(net.parameters(), lr=0.01)
    labelled, unlabelled = Classes(LABELLED), Views(UNLABELLED)
    labels = torch.tensor(labelled.labels)
    seeds = [derived(SEED, "training", port) for port in ("labelled", "unlabelled")]
    for epoch in range(2):
        order = permutation(UNLABELLED, derived(seeds[1], "order", epoch))
        for number, rows in enumerate(order.split(8)):
            again, batch = divmod(number, 3)
            few = permutation(LABELLED, derived(seeds[0], "order", epoch + again * 2**20))
            those = few.split(4)[batch]
            optimizer.zero_grad()
            entropy = cross_entropy(net(labelled.x[those]), labels[those])
            clean, noisy = net(unlabelled.x[rows]), net(unlabelled.noisy[rows])
            (entropy + 0.5 * mse_loss(noisy, clean)).backward()
            optimizer.step()
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    Runs(semi_supervised(), tmp_path).check_cuts()
