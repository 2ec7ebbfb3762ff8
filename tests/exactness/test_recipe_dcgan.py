"""A DCGAN whose two turns share a batch of noise (Radford et al., 2015).

In the usual loop the discriminator's batch norm meets three batches in an iteration: real images,
fakes, and the same fakes again in the generator's turn.
"""

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
from stage_parts import NoisyImages
from torch.nn.functional import binary_cross_entropy
from torch.optim import Adam

GENERATOR = layers(
    layer("ConvTranspose2d", 5, 8, 4, 1, 0, bias=False),
    layer("BatchNorm2d", 8),
    layer("ReLU"),
    layer("ConvTranspose2d", 8, 3, 4, 2, 1, bias=False),
    layer("Tanh"),
)
DISCRIMINATOR = layers(
    layer("Conv2d", 3, 8, 4, 2, 1, bias=False),
    layer("BatchNorm2d", 8),
    layer("LeakyReLU", 0.2),
    layer("Conv2d", 8, 1, 4, 1, 0, bias=False),
    layer("Flatten"),
    layer("Sigmoid"),
)


def adam(model: str) -> Config:
    return trained_by(made("Adam", lr=0.01, betas=[0.5, 0.999]), model)


def dcgan(**buffers: str) -> Config:
    """The config; ``buffers`` is for the discriminator in the generator's turn."""
    judge = {
        "neural_graph": [
            node("discriminator", "image", "of_real", "of discriminator", name="on real"),
            node("generator", "noise", "fake"),
            node("discriminator", "fake", "of_fake", "of discriminator", name="on fake"),
        ]
    }
    deceive = {
        "neural_graph": [
            node("generator", "noise", "fake", "of generator"),
            node("discriminator", "fake", "of_fake", **buffers),
        ]
    }
    groups: dict[str, Any] = {
        "datasets": {"images": made("stage_parts.NoisyImages", 12)},
        "loader_factories": {"batches": loader("images")},
        "models": {"generator": GENERATOR, "discriminator": DISCRIMINATOR},
        "optimizers": {f"of {name}": adam(name) for name in ("generator", "discriminator")},
        "losses": {
            "real": {**made("BCELoss"), "inputs": ["of_real", "one"]},
            "fake": {**made("BCELoss"), "inputs": ["of_fake", "zero"]},
            "deceived": {**made("BCELoss"), "inputs": ["of_fake", "one"]},
        },
        "batch_processors": {"judge": judge, "deceive": deceive},
        "batch_graphs": {"judging": {"nodes": ["judge"]}, "deceiving": {"nodes": ["deceive"]}},
    }
    columns = feed("batches", "image noise one zero")
    pipelines = {
        "discriminate": {
            "graph": "judging",
            "input_factories": [columns],
            "losses": [loss("real"), loss("fake")],
        },
        "generate": {
            "graph": "deceiving",
            "input_factories": [columns],
            "losses": [loss("deceived")],
        },
    }
    return config(groups, pipelines, stage("discriminate", "generate"))


@pytest.mark.parametrize("how", ["move", "keep", None])
def test_dcgan(tmp_path: Path, how: str | None) -> None:
    twin = Twin(dcgan(**({} if how is None else {"buffers": how})), tmp_path)
    generator, discriminator = twin.models["generator"], twin.models["discriminator"]
    of_generator = Adam(generator.parameters(), lr=0.01, betas=(0.5, 0.999))
    of_discriminator = Adam(discriminator.parameters(), lr=0.01, betas=(0.5, 0.999))
    for _ in range(2):
        for image, noise, one, zero in batches_of(NoisyImages(12)):
            of_discriminator.zero_grad()
            binary_cross_entropy(discriminator(image), one).backward()
            fake = generator(noise)
            binary_cross_entropy(discriminator(fake.detach()), zero).backward()
            of_discriminator.step()

            of_generator.zero_grad()
            before = {name: b.clone() for name, b in discriminator.named_buffers()}
            binary_cross_entropy(discriminator(fake), one).backward()
            of_generator.step()
            if how != "move":
                with torch.no_grad():
                    for name, buffer in discriminator.named_buffers():
                        buffer.copy_(before[name])
    twin.check()
    (counted,) = [b for n, b in twin.session.models["discriminator"].named_buffers() if "num" in n]
    assert counted == 6 * (3 if how == "move" else 2)


def test_dcgan_is_cut(tmp_path: Path) -> None:
    Runs(dcgan(buffers="move"), tmp_path).check_cuts([1, 3, 4])
