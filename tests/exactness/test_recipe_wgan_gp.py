"""WGAN-GP: a critic with a gradient penalty, and a generator, in turns."""

from __future__ import annotations

from pathlib import Path

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
from exact_parts import Points
from exact_runs import Runs
from torch import Tensor, nn

ADAM = made("Adam", lr=0.01, betas=[0.5, 0.9])


def wgan_gp() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"samples": part("Points", 10), "noise": part("Points", 10, 3, seed=1)},
        "loader_factories": {"samples": loader("samples"), "noise": loader("noise")},
        "models": {
            "generator": layers(layer("Linear", 3, 8), layer("ReLU"), layer("Linear", 8, 4)),
            "critic": layers(layer("Linear", 4, 8), layer("LeakyReLU", 0.2), layer("Linear", 8, 1)),
        },
        "optimizers": {
            "of_generator": trained_by(ADAM, "generator"),
            "of_critic": trained_by(ADAM, "critic"),
        },
        "losses": {
            "distance": {"class": "recipe_parts.wasserstein", "inputs": ["of_fake", "of_real"]},
            "penalty": {
                "class": "GradientPenalty",
                "models": ["critic"],
                "inputs": ["real", "fake"],
            },
            "fooled": {"class": "recipe_parts.minus_mean", "inputs": ["of_fake"]},
        },
        "batch_processors": {
            "judging": {
                "neural_graph": [
                    node("generator", "z", "fake"),
                    node("critic", "fake", "of_fake", "of_critic", name="on_fake"),
                    node("critic", "real", "of_real", "of_critic", name="on_real"),
                ]
            },
            "making": {
                "neural_graph": [
                    node("generator", "z", "fake", "of_generator"),
                    node("critic", "fake", "of_fake"),
                ]
            },
        },
        "batch_graphs": {
            "critic_graph": graph("samples noise", judging="samples noise"),
            "generator_graph": graph("noise", making="noise"),
        },
    }
    critic = {
        "graph": "critic_graph",
        "input_factories": [feed("samples", "real y", "samples"), feed("noise", "z c", "noise")],
        "losses": [loss("distance"), loss("penalty", weight=10)],
    }
    generator = {
        "graph": "generator_graph",
        "input_factories": [feed("noise", "z c", "noise")],
        "losses": [loss("fooled")],
    }
    whole = stage("critic", "generator", epochs=2)
    return config(groups, {"critic": critic, "generator": generator}, whole)


def penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), 1)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    scores = critic(between)
    (gradient,) = torch.autograd.grad(
        scores, between, grad_outputs=torch.ones_like(scores), create_graph=True
    )
    return ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def test_it_equals_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(wgan_gp(), tmp_path)
    generator, critic = twin.models["generator"], twin.models["critic"]
    of_generator, of_critic = (
        torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.5, 0.9))
        for model in (generator, critic)
    )
    for _ in range(2):
        pairs = zip(batches_of(Points(10)), batches_of(Points(10, 3, seed=1)), strict=True)
        for (real, _), (z, _) in pairs:
            of_critic.zero_grad()
            fake = generator(z).detach()
            distance = critic(fake).mean() - critic(real).mean()
            (distance + 10 * penalty(critic, real, fake)).backward()
            of_critic.step()
            of_generator.zero_grad()
            (-critic(generator(z)).mean()).backward()
            of_generator.step()
    twin.check()


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(wgan_gp(), tmp_path).check_cuts()
