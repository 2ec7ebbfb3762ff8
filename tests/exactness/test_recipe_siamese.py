"""Siamese and triplet networks: one encoder at several nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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
from recipe_models import Pairs, Triplets
from torch.nn.functional import binary_cross_entropy, triplet_margin_loss

ENCODER = layers(layer("Linear", 4, 5), layer("Tanh"))
ADADELTA = made("Adadelta", lr=1.0)


def siamese() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"pairs": made("recipe_models.Pairs", 10)},
        "loader_factories": {"batches": loader("pairs")},
        "models": {"encoder": ENCODER, "alike": made("recipe_models.Both")},
        "optimizers": {
            "of_encoder": trained_by(ADADELTA, "encoder"),
            "of_alike": trained_by(ADADELTA, "alike"),
        },
        "losses": {"same": {**made("BCELoss"), "inputs": ["said", "same"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("encoder", "first", "a", "of_encoder", name="left"),
                    node("encoder", "second", "b", "of_encoder", name="right"),
                    node("alike", "a b", "said", "of_alike"),
                ]
            }
        },
    }
    fit = {"input_factories": [feed("batches", "first second same")], "losses": [loss("same")]}
    return config(groups, {"fit": fit}, stage("fit"))


def triplet() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"triplets": made("recipe_models.Triplets", 10)},
        "loader_factories": {"batches": loader("triplets")},
        "models": {"encoder": ENCODER},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "encoder")},
        "losses": {"margin": {**made("TripletMarginLoss", margin=2.0), "inputs": ["a", "p", "n"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("encoder", "anchor", "a", "descent", name="of_anchor"),
                    node("encoder", "near", "p", "descent", name="of_near"),
                    node("encoder", "far", "n", "descent", name="of_far"),
                ]
            }
        },
    }
    fit = {"input_factories": [feed("batches", "anchor near far")], "losses": [loss("margin")]}
    return config(groups, {"fit": fit}, stage("fit"))


def test_a_siamese_network_equals_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(siamese(), tmp_path)
    encoder, alike = twin.models["encoder"], twin.models["alike"]
    optimizers = [torch.optim.Adadelta(m.parameters(), lr=1.0) for m in (encoder, alike)]
    for _ in range(2):
        for first, second, same in batches_of(Pairs(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            binary_cross_entropy(alike(encoder(first), encoder(second)), same).backward()
            for optimizer in optimizers:
                optimizer.step()
    twin.check()


def test_a_triplet_network_equals_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(triplet(), tmp_path)
    encoder = twin.models["encoder"]
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.05)
    for _ in range(2):
        for anchor, near, far in batches_of(Triplets(10)):
            optimizer.zero_grad()
            codes = encoder(anchor), encoder(near), encoder(far)
            triplet_margin_loss(*codes, margin=2.0).backward()
            optimizer.step()
    twin.check()


@pytest.mark.parametrize("recipe", [siamese, triplet])
def test_it_goes_on_from_any_iteration(tmp_path: Path, recipe: Any) -> None:
    Runs(recipe(), tmp_path).check_cuts([1, 4])
