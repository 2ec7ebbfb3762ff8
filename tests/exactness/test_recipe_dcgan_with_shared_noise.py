"""DCGAN, as in PyTorch's tutorial: both networks are trained with one batch of noise."""

from __future__ import annotations

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
from exact_parts import Latent, Real
from exact_runs import Runs
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.optim import Adam

ADAM: dict[str, Any] = {"lr": 0.01, "betas": [0.5, 0.999]}


def dcgan() -> Config:
    """The config. A generated sample is called fake, and its label 1 where it is to deceive."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"reals": part("Real", 22), "noise": part("Latent", 24)},
        "loader_factories": {"reals": loader("reals", drop_last=True), "noise": loader("noise")},
        "models": {
            "G": layers(layer("Linear", 3, 8), layer("BatchNorm1d", 8), layer("Linear", 8, 4)),
            "D": layers(layer("Linear", 4, 8), layer("LeakyReLU", 0.2), layer("Linear", 8, 1)),
        },
        "optimizers": {name: trained_by(made("Adam", **ADAM), name) for name in ("G", "D")},
        "losses": {
            "of real": {**made("BCEWithLogitsLoss"), "inputs": ["of_real", "one"]},
            "of fake": {**made("BCEWithLogitsLoss"), "inputs": ["of_fake", "zero"]},
            "deceiving": {**made("BCEWithLogitsLoss"), "inputs": ["of_fake", "one"]},
        },
        "batch_processors": {
            "judging": {
                "neural_graph": [
                    node("G", "z", "fake"),
                    node("D", "real", "of_real", "D", name="on real"),
                    node("D", "fake", "of_fake", "D", name="on fake"),
                ]
            },
            "generating": {
                "neural_graph": [
                    node("G", "z", "fake", "G"),
                    node("D", "fake", "of_fake"),
                ]
            },
        },
        "batch_graphs": {
            "of D": graph("reals noise", judging="reals noise"),
            "of G": graph("both", generating="both"),
        },
    }
    pipelines: dict[str, Any] = {
        "discriminator": {
            "graph": "of D",
            "input_factories": [
                feed("reals", "real one", "reals"),
                feed("noise", "z zero", "noise"),
            ],
            "losses": [loss("of real"), loss("of fake")],
        },
        "generator": {
            "graph": "of G",
            "input_factories": [{"from_pipeline": "discriminator"}],
            "losses": [loss("deceiving")],
        },
    }
    return config(groups, pipelines, stage("discriminator", "generator", epochs=2))


def test_dcgan(tmp_path: Path) -> None:
    twin = Twin(dcgan(), tmp_path)
    generator, discriminator = twin.models["G"], twin.models["D"]
    of_g = Adam(generator.parameters(), lr=0.01, betas=(0.5, 0.999))
    of_d = Adam(discriminator.parameters(), lr=0.01, betas=(0.5, 0.999))
    statistics = generator[1]
    for _ in range(2):
        pairs = zip(batches_of(Real(22), drop_last=True), batches_of(Latent(24)), strict=False)
        for (real, one), (z, zero) in pairs:
            of_d.zero_grad()
            kept = {name: buffer.clone() for name, buffer in statistics.named_buffers()}
            fake = generator(z).detach()
            # A model that a pipeline does not train keeps its running statistics there.
            statistics.load_state_dict({**statistics.state_dict(), **kept})
            (bce(discriminator(real), one) + bce(discriminator(fake), zero)).backward()
            of_d.step()
            of_g.zero_grad()
            bce(discriminator(generator(z)), one).backward()
            of_g.step()
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    Runs(dcgan(), tmp_path).check_cuts()


def test_evaluation_runs_the_data_of_the_other_pipeline(tmp_path: Path) -> None:
    session = Twin(dcgan(), tmp_path).session
    generator, discriminator = session.models["G"].eval(), session.models["D"].eval()
    seen: list[Tensor] = []
    generator.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    found = session.evaluate(["generator"])["deceiving"]
    assert len(seen) == 5
    with torch.no_grad():
        scores = discriminator(generator(torch.cat(seen)))
    torch.testing.assert_close(found, bce(scores, torch.ones(20, 1)).item())
