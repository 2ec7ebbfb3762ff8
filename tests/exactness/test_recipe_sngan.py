"""SNGAN with an R1 penalty: spectral norms in the discriminator, and a loss that calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
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
from recipe_models import R1, hinge

ADAM = made("Adam", lr=0.01, betas=[0.0, 0.9])


def sngan() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"samples": part("Points", 10), "noise": part("Points", 10, 3, seed=1)},
        "loader_factories": {"samples": loader("samples"), "noise": loader("noise")},
        "models": {
            "generator": layers(layer("Linear", 3, 6), layer("ReLU"), layer("Linear", 6, 4)),
            "critic": made("recipe_models.SpectralCritic"),
        },
        "optimizers": {
            "of_generator": trained_by(ADAM, "generator"),
            "of_critic": trained_by(ADAM, "critic"),
        },
        "losses": {
            "hinge": {"class": "recipe_models.hinge", "inputs": ["of_real", "of_fake"]},
            "r1": {**made("recipe_models.R1"), "models": ["critic"], "inputs": ["real"]},
            "fooled": {"class": "recipe_parts.minus_mean", "inputs": ["of_fake"]},
        },
        "batch_processors": {
            "judging": {
                "neural_graph": [
                    node("generator", "z", "fake"),
                    node("critic", "real", "of_real", "of_critic", name="on_real"),
                    node("critic", "fake", "of_fake", "of_critic", name="on_fake"),
                ]
            },
            "making": {
                "neural_graph": [
                    node("generator", "z", "fake", "of_generator"),
                    node("critic", "fake", "of_fake", buffers="move"),
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
        "losses": [loss("hinge"), loss("r1", weight=5)],
    }
    generator = {
        "graph": "generator_graph",
        "input_factories": [feed("noise", "z c", "noise")],
        "losses": [loss("fooled")],
    }
    check = {**critic, "losses": [loss("r1", loss_display_name="val r1")]}
    pipelines = {"critic": critic, "generator": generator, "check": check}
    return config(groups, pipelines, stage("critic", "generator", validation=["check"]))


def test_it_equals_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(sngan(), tmp_path)
    generator, critic = twin.models["generator"], twin.models["critic"]
    of_generator, of_critic = (
        torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.0, 0.9))
        for model in (generator, critic)
    )
    penalty = R1()
    for _ in range(2):
        pairs = zip(batches_of(Points(10)), batches_of(Points(10, 3, seed=1)), strict=True)
        for (real, _), (z, _) in pairs:
            of_critic.zero_grad()
            fake = generator(z).detach()
            of_real = critic(real)
            (hinge(of_real, critic(fake)) + 5 * penalty(critic, real)).backward()
            of_critic.step()
            of_generator.zero_grad()
            (-critic(generator(z)).mean()).backward()
            of_generator.step()
    twin.check()
    critic.eval()
    shown = sum(penalty(critic, x).item() * len(x) for x, _ in batches_of(Points(10))) / 10
    assert twin.session.history["val r1"].iloc[-1] == pytest.approx(shown, rel=1e-6)


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(sngan(), tmp_path).check_cuts([1, 3, 5])
