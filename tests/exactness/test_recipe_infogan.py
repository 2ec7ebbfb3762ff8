"""InfoGAN: three turns, the last of which trains both networks by an optimizer of its own."""

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
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy, leaky_relu, mse_loss, one_hot, relu
from torch.utils.data import Dataset

HERE = __name__
CLASSES, NOISE, CODE = 3, 4, 2
Drawn = tuple[Tensor, Tensor, Tensor, Tensor]
Frame = dict[str, Tensor]


class Pictures(Dataset[tuple[Tensor, int]]):
    """Flat pictures float32 (6,), each with a class that nobody looks at."""

    def __init__(self, count: int) -> None:
        self.pictures = torch.rand(count, 6, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], index % 2


class Generator(nn.Module):
    """Noise (batch, NOISE), a class as one-hot and a code to pictures (batch, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(NOISE + CLASSES + CODE, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 6)

    def forward(self, noise: Tensor, labels: Tensor, code: Tensor) -> Tensor:
        hidden = self.norm(self.first(torch.cat([noise, labels, code], 1)))
        return self.last(relu(hidden)).tanh()


class Discriminator(nn.Module):
    """Pictures (batch, 6) to how real they are, which class they are of, and their code."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dropout = nn.Linear(6, 8), nn.Dropout(0.25)
        self.norm = nn.BatchNorm1d(8, 0.8)
        self.adv, self.aux, self.latent = nn.Linear(8, 1), nn.Linear(8, CLASSES), nn.Linear(8, CODE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.norm(self.dropout(leaky_relu(self.first(x))))
        return self.adv(hidden), self.aux(hidden).softmax(1), self.latent(hidden)


def drawn(count: int) -> Drawn:
    """Noise, classes, the same as one-hot, and codes."""
    noise, labels = torch.randn(count, NOISE), torch.randint(CLASSES, (count,))
    return noise, labels, one_hot(labels, CLASSES).float(), torch.rand(count, CODE) * 2 - 1


def draw(frame: Frame) -> Frame:
    names = ("noise", "labels", "one_hot", "code")
    return {**frame, **dict(zip(names, drawn(len(frame["real"])), strict=True))}


def draw_without_noise(frame: Frame) -> Frame:
    frame = draw(frame)
    return {**frame, "noise": torch.zeros_like(frame["noise"])}


def valid(verdict: Tensor) -> tuple[Tensor, Tensor]:
    return verdict, torch.ones_like(verdict)


def fake(verdict: Tensor) -> tuple[Tensor, Tensor]:
    return verdict, torch.zeros_like(verdict)


def infogan() -> Config:
    adam = made("Adam", lr=0.002, betas=[0.5, 0.999])
    made_of = "noise one_hot code"
    nodes = {
        "deceive": [
            node("G", made_of, "made", "adam of G"),
            node("D", "made", "verdict _1 _2", buffers="move"),
        ],
        "judge": [
            node("D", "real", "of_real _1 _2", "adam of D", name="on real"),
            node("D", "made", "of_fake _3 _4", "adam of D", name="on fake"),
        ],
        "inform": [
            node("G", made_of, "made", "adam of both"),
            node("D", "made", "verdict said_class said_code", "adam of both"),
        ],
    }
    mse, from_here = made("MSELoss"), {"valid": f"{HERE}.valid", "fake": f"{HERE}.fake"}
    groups: dict[str, dict[str, Any]] = {
        "datasets": {"pictures": made(f"{HERE}.Pictures", 10)},
        "loader_factories": {"batches": loader("pictures")},
        "models": {"G": made(f"{HERE}.Generator"), "D": made(f"{HERE}.Discriminator")},
        "optimizers": {
            "adam of G": trained_by(adam, "G"),
            "adam of D": trained_by(adam, "D"),
            "adam of both": {**adam, "model": ["G", "D"]},
        },
        "losses": {
            "g": {**mse, "inputs": ["verdict"], "transform": from_here["valid"]},
            "real": {**mse, "inputs": ["of_real"], "transform": from_here["valid"]},
            "fake": {**mse, "inputs": ["of_fake"], "transform": from_here["fake"]},
            "class": {**made("CrossEntropyLoss"), "inputs": ["said_class", "labels"]},
            "code": {**mse, "inputs": ["said_code", "code"]},
        },
        "batch_processors": {
            "draw": made(f"{HERE}.draw"),
            "draw again": made(f"{HERE}.draw_without_noise"),
            **{name: {"neural_graph": of} for name, of in nodes.items()},
        },
        "batch_graphs": {
            "deceiving": graph("batch", draw="batch", deceive="draw"),
            "judging": {"nodes": ["judge"]},
            "informing": {
                "nodes": ["draw again", "inform"],
                "ingoing_edges": {"draw again": ["batch"], "inform": ["draw again"]},
                "input_aliases": ["batch"],
            },
        },
    }
    pipelines = {
        "G": {
            "graph": "deceiving",
            "input_factories": [feed("batches", "real _")],
            "losses": [loss("g", "deceive")],
        },
        "D": {
            "graph": "judging",
            "input_factories": [{"from_pipeline": "G", "node": "deceive"}],
            "losses": [loss("real", weight=0.5), loss("fake", weight=0.5)],
        },
        "info": {
            "graph": "informing",
            "input_factories": [{"from_pipeline": "G"}],
            "losses": [loss("class", "inform"), loss("code", "inform", weight=0.1)],
        },
    }
    return config(groups, pipelines, stage("G", "D", "info"))


def test_infogan(tmp_path: Path) -> None:
    twin = Twin(infogan(), tmp_path)
    generator, discriminator = twin.models["G"], twin.models["D"]

    def adam(*models: nn.Module) -> optim.Adam:
        both = [parameter for model in models for parameter in model.parameters()]
        return optim.Adam(both, lr=0.002, betas=(0.5, 0.999))

    optimizer_g, optimizer_d = adam(generator), adam(discriminator)
    optimizer_info = adam(generator, discriminator)
    for _ in range(2):
        for real, _ in batches_of(Pictures(10)):
            one, zero = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            optimizer_g.zero_grad()
            noise, _, labels, code = drawn(len(real))
            gen_imgs = generator(noise, labels, code)
            mse_loss(discriminator(gen_imgs)[0], one).backward()
            optimizer_g.step()

            optimizer_d.zero_grad()
            d_real_loss = mse_loss(discriminator(real)[0], one)
            d_fake_loss = mse_loss(discriminator(gen_imgs.detach())[0], zero)
            ((d_real_loss + d_fake_loss) / 2).backward()
            optimizer_d.step()

            optimizer_info.zero_grad()
            noise, classes, labels, code = drawn(len(real))
            gen_imgs = generator(torch.zeros_like(noise), labels, code)
            _, pred_label, pred_code = discriminator(gen_imgs)
            error = cross_entropy(pred_label, classes) + 0.1 * mse_loss(pred_code, code)
            error.backward()
            optimizer_info.step()
    twin.check()
    Runs(infogan(), tmp_path).check_cuts([2, 4])
