"""Random numbers drawn on the way: the noise of a DCGAN, the pairs of a siamese net."""

from __future__ import annotations

import random
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
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.nn.functional import binary_cross_entropy
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import Dataset

HERE = __name__
NZ, EPOCHS = 5, 2


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures float32 (1, 8, 8), each with its class."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.pictures = torch.randn(count, 1, 8, 8, generator=generator)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], index % 3


def with_noise(frame: dict[str, Tensor]) -> dict[str, Tensor]:
    """Real pictures, and as much noise (batch, NZ, 1, 1)."""
    return {**frame, "noise": torch.randn(len(frame["real"]), NZ, 1, 1)}


def as_real(output: Tensor) -> tuple[Tensor, Tensor]:
    return output, torch.full_like(output, 1.0)


def as_fake(output: Tensor) -> tuple[Tensor, Tensor]:
    return output, torch.full_like(output, 0.0)


class Weighted(nn.Sequential):
    """Layers, with the weights that the program gives them."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        for module in modules:
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)


GENERATOR = made(
    f"{HERE}.Weighted",
    layer("ConvTranspose2d", NZ, 6, 4, 1, 0, bias=False),
    layer("BatchNorm2d", 6),
    layer("ReLU"),
    layer("ConvTranspose2d", 6, 1, 4, 2, 1, bias=False),
    layer("Tanh"),
)
DISCRIMINATOR = made(
    f"{HERE}.Weighted",
    layer("Conv2d", 1, 6, 4, 2, 1, bias=False),
    layer("BatchNorm2d", 6),
    layer("LeakyReLU", 0.2),
    layer("Conv2d", 6, 1, 4, 1, 0, bias=False),
    layer("Sigmoid"),
    layer("Flatten", 0),
)


def dcgan() -> Config:
    """The generator's turn gets the noise of the discriminator's."""
    adam = made("Adam", lr=0.002, betas=[0.5, 0.999])
    judge = [
        node("netD", "real", "of_real", "of D", name="D of real"),
        node("netG", "noise", "fake"),
        node("netD", "fake", "of_fake", "of D", name="D of fake"),
    ]
    deceive = [
        node("netG", "noise", "fake", "of G"),
        node("netD", "fake", "of_fake", buffers="move"),
    ]

    def bce(column: str, target: str) -> Config:
        return {**made("BCELoss"), "inputs": [column], "transform": f"{HERE}.{target}"}

    groups: dict[str, dict[str, Config]] = {
        "datasets": {"pictures": made(f"{HERE}.Pictures", 10)},
        "loader_factories": {"batches": loader("pictures")},
        "models": {"netG": GENERATOR, "netD": DISCRIMINATOR},
        "optimizers": {f"of {name}": trained_by(adam, f"net{name}") for name in "DG"},
        "losses": {
            "errD_real": bce("of_real", "as_real"),
            "errD_fake": bce("of_fake", "as_fake"),
            "errG": bce("of_fake", "as_real"),
        },
        "batch_processors": {
            "draw": made(f"{HERE}.with_noise"),
            "judge": {"neural_graph": judge},
            "deceive": {"neural_graph": deceive},
        },
        "batch_graphs": {
            "judging": graph("batch", draw="batch", judge="draw"),
            "deceiving": {"nodes": ["deceive"]},
        },
    }
    pipelines = {
        "D": {
            "graph": "judging",
            "input_factories": [feed("batches", "real _")],
            "losses": [loss("errD_real", "judge"), loss("errD_fake", "judge")],
        },
        "G": {
            "graph": "deceiving",
            "input_factories": [{"from_pipeline": "D", "node": "draw"}],
            "losses": [loss("errG")],
        },
    }
    return config(groups, pipelines, stage("D", "G", epochs=EPOCHS))


def test_dcgan(tmp_path: Path) -> None:
    twin = Twin(dcgan(), tmp_path)
    net_g, net_d = twin.models["netG"], twin.models["netD"]
    optimizer_d = optim.Adam(net_d.parameters(), lr=0.002, betas=(0.5, 0.999))
    optimizer_g = optim.Adam(net_g.parameters(), lr=0.002, betas=(0.5, 0.999))
    for _ in range(EPOCHS):
        for real, _ in batches_of(Pictures(10)):
            net_d.zero_grad()
            label = torch.full((len(real),), 1.0)
            binary_cross_entropy(net_d(real), label).backward()
            fake = net_g(torch.randn(len(real), NZ, 1, 1))
            label.fill_(0.0)
            binary_cross_entropy(net_d(fake.detach()), label).backward()
            optimizer_d.step()

            net_g.zero_grad()
            label.fill_(1.0)
            binary_cross_entropy(net_d(fake), label).backward()
            optimizer_g.step()
    twin.check()
    Runs(dcgan(), tmp_path).check_cuts([2, 4])


class Matches(Pictures):
    """Two pictures, drawn by Python's own generator, and whether they are of one class."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        one = random.randint(0, 2)
        other = one if index % 2 == 0 else (one + random.randint(1, 2)) % 3
        first, second = (random.randrange(k, len(self), 3) for k in (one, other))
        return self.pictures[first], self.pictures[second], torch.tensor(float(one == other))


class SiameseNetwork(nn.Module):
    """Two pictures (batch, 1, 8, 8) to how likely they are of one class (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(72, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        both = [self.resnet(x).flatten(1) for x in (input1, input2)]
        return self.fc(torch.cat(both, 1)).sigmoid().squeeze(1)


def siamese() -> Config:
    adadelta = trained_by(made("Adadelta", lr=1.0), "net")
    adadelta["lr_scheduler"] = made("StepLR", step_size=1, gamma=0.7)
    run = node("net", "images_1 images_2", "outputs", "adadelta")
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"matches": made(f"{HERE}.Matches", 10)},
        "loader_factories": {"batches": loader("matches")},
        "models": {"net": made(f"{HERE}.SiameseNetwork")},
        "optimizers": {"adadelta": adadelta},
        "losses": {"bce": {**made("BCELoss"), "inputs": ["outputs", "targets"]}},
        "batch_processors": {"run": {"neural_graph": [run]}},
    }
    fit = {
        "input_factories": [feed("batches", "images_1 images_2 targets")],
        "losses": [loss("bce")],
    }
    return config(groups, {"fit": fit}, stage("fit", epochs=EPOCHS))


def test_siamese(tmp_path: Path) -> None:
    twin = Twin(siamese(), tmp_path)
    model = twin.models["net"]
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for _ in range(EPOCHS):
        for images_1, images_2, targets in batches_of(Matches(10)):
            optimizer.zero_grad()
            binary_cross_entropy(model(images_1, images_2), targets).backward()
            optimizer.step()
        scheduler.step()
    twin.check()
    Runs(siamese(), tmp_path).check_cuts([2, 4])
