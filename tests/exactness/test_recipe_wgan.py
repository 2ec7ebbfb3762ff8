"""WGAN: a critic whose weights are clipped makes five steps for each step of the generator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
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
from exact_parts import Latent, Points
from exact_runs import Runs
from torch import Tensor, nn
from torch.optim import RMSprop

from torchassistant.cli.tables import preflight_lines
from torchassistant.session import Draft

REPEAT = 5


class ClippedRMSprop(RMSprop):
    """Holds the weights in [-0.1, 0.1]."""

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.clamp_(-0.1, 0.1)
        return result


class CriticLoss(nn.Module):
    """What the critic minimizes."""

    def forward(self, of_real: Tensor, of_fake: Tensor) -> Tensor:
        return of_fake.mean() - of_real.mean()


class GeneratorLoss(nn.Module):
    """What the generator minimizes."""

    def forward(self, of_fake: Tensor) -> Tensor:
        return -of_fake.mean()


def wgan() -> Config:
    """The config."""
    this = "test_recipe_wgan"
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"reals": part("Points", 22), "latents": part("Latent", 40)},
        "loader_factories": {
            "reals": loader("reals", drop_last=True),
            "latents": loader("latents"),
        },
        "models": {
            "generator": layers(layer("Linear", 3, 8), layer("ReLU"), layer("Linear", 8, 4)),
            "critic": layers(layer("Linear", 4, 8), layer("LeakyReLU", 0.2), layer("Linear", 8, 1)),
        },
        "optimizers": {
            "generator": trained_by(made("RMSprop", lr=0.01), "generator"),
            "critic": trained_by(made(f"{this}.ClippedRMSprop", lr=0.01), "critic"),
        },
        "losses": {
            "critic loss": {**made(f"{this}.CriticLoss"), "inputs": ["of_real", "of_fake"]},
            "generator loss": {**made(f"{this}.GeneratorLoss"), "inputs": ["of_fake"]},
        },
        "batch_processors": {
            "criticizing": {
                "neural_graph": [
                    node("generator", "z", "fake"),
                    node("critic", "x", "of_real", "critic", name="on real"),
                    node("critic", "fake", "of_fake", "critic", name="on fake"),
                ]
            },
            "generating": {
                "neural_graph": [
                    node("generator", "z", "fake", "generator"),
                    node("critic", "fake", "of_fake"),
                ]
            },
        },
        "batch_graphs": {
            "critic's": graph("reals latents", criticizing="reals latents"),
            "generator's": graph("latents", generating="latents"),
        },
    }
    pipelines = {
        "critic": {
            "graph": "critic's",
            "input_factories": [
                feed("reals", "x y", "reals"),
                feed("latents", "z label", "latents"),
            ],
            "losses": [loss("critic loss")],
        },
        "generator": {
            "graph": "generator's",
            "input_factories": [feed("latents", "z label", "latents")],
            "losses": [loss("generator loss")],
        },
    }
    turns = [{"pipeline": "critic", "repeat": REPEAT}, "generator"]
    return config(groups, pipelines, stage(*turns, epochs=2, epoch_length=6))


def endless(*loaders: Any) -> Iterator[Any]:
    """The batches of several loaders together, pass after pass."""
    while True:
        yield from zip(*loaders, strict=False)


def test_a_wgan(tmp_path: Path) -> None:
    twin = Twin(wgan(), tmp_path)
    generator, critic = twin.models["generator"], twin.models["critic"]
    of_generator = RMSprop(generator.parameters(), lr=0.01)
    of_critic = RMSprop(critic.parameters(), lr=0.01)
    pairs = endless(batches_of(Points(22), drop_last=True), batches_of(Latent(40)))
    latents = endless(batches_of(Latent(40)))
    for _ in range(12):
        for _ in range(REPEAT):
            (x, _), (z, _) = next(pairs)
            of_critic.zero_grad()
            (critic(generator(z).detach()).mean() - critic(x).mean()).backward()
            of_critic.step()
            for parameter in critic.parameters():
                parameter.data.clamp_(-0.1, 0.1)
        ((z, _),) = next(latents)
        of_generator.zero_grad()
        (-critic(generator(z)).mean()).backward()
        of_generator.step()
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    Runs(wgan(), tmp_path).check_cuts((1, 4, 6, 7, 11))


def test_the_table_shows_the_turns() -> None:
    lines = list(preflight_lines(Draft(wgan()).preflight()))
    assert lines[-3:] == [
        "stage 1: runs critic: 5 steps in each iteration, restarts",
        "stage 1: runs generator: 1 step in each iteration, restarts",
        "stage 1: trains generator, critic",
    ]
