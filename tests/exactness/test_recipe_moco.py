"""MoCo: keys of a momentum encoder are told from those in a queue, which the loss keeps."""

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
from test_recipe_byol import TwoViews
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim import SGD

MOMENTUM, SIZE, TEMPERATURE = 0.9, 8, 0.2


class Queue(nn.Module):
    """InfoNCE of queries (B, D) and keys (B, D), whose negatives are earlier keys (SIZE, D)."""

    queue: Tensor
    at: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        keys = normalize(torch.randn(SIZE, width, generator=generator), dim=1)
        self.register_buffer("queue", keys)
        self.register_buffer("at", torch.zeros((), dtype=torch.int64))

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        queries, keys = normalize(queries, dim=1), normalize(keys, dim=1)
        positive = (queries * keys).sum(1, keepdim=True)
        logits = torch.cat([positive, queries @ self.queue.clone().T], 1) / TEMPERATURE
        result = cross_entropy(logits, self.at.new_zeros(len(queries)))
        with torch.no_grad():
            places = (self.at + torch.arange(len(keys), device=keys.device)) % SIZE
            self.queue[places] = keys
            self.at.copy_((self.at + len(keys)) % SIZE)
        return result


def moco(epochs: int = 2) -> Config:
    """The config."""
    this = "test_recipe_moco"
    groups = {
        "datasets": {"views": made("test_recipe_byol.TwoViews", 12)},
        "loader_factories": {"views": loader("views")},
        "models": {
            "encoder": layers(layer("Linear", 4, 8), layer("ReLU"), layer("Linear", 8, 3)),
            "momentum encoder": {"average_of": "encoder", "decay": MOMENTUM, "first": "blend"},
        },
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.05), "encoder")},
        "losses": {"contrast": {**made(f"{this}.Queue", 3), "inputs": ["q", "k"]}},
        "batch_processors": {
            "views": {
                "neural_graph": [
                    node("encoder", "x1", "q", "sgd"),
                    node("momentum encoder", "x2", "k"),
                ]
            }
        },
    }
    fit = {"input_factories": [feed("views", "x1 x2")], "losses": [loss("contrast")]}
    return config(groups, {"fit": fit}, stage("fit", epochs=epochs))


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(moco(), tmp_path)
    encoder = twin.models["encoder"]
    momentum = copy.deepcopy(encoder).requires_grad_(False)
    optimizer, criterion = SGD(encoder.parameters(), lr=0.05), Queue(3)
    for _ in range(2):
        for x1, x2 in batches_of(TwoViews(12)):
            queries = encoder(x1)
            with torch.no_grad():
                keys = momentum(x2)
            optimizer.zero_grad()
            criterion(queries, keys).backward()
            optimizer.step()
            with torch.no_grad():
                for average, current in zip(
                    momentum.parameters(), encoder.parameters(), strict=True
                ):
                    average.lerp_(current, 1 - MOMENTUM)
    twin.models["momentum encoder"].load_state_dict(momentum.state_dict())
    twin.check()
    queue = twin.session.losses["contrast"]
    assert isinstance(queue, Queue)
    assert torch.equal(queue.queue, criterion.queue)


def test_every_cut_ends_in_the_same_bits(tmp_path: Path) -> None:
    Runs(moco(), tmp_path).check_cuts()
