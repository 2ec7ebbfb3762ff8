"""Super-resolution with a PSNR, and the fit of a polynomial until its loss is small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10
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
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.nn.functional import avg_pool2d, mse_loss, smooth_l1_loss
from torch.utils.data import DataLoader, Dataset, IterableDataset

HERE = __name__
EPOCHS, DEGREE, LIMIT = 2, 4, 1.5


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Pictures of half the size, float32 (1, 4, 4), and whole ones (1, 8, 8)."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.pictures = torch.rand(count, 1, 8, 8, generator=generator)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return avg_pool2d(self.pictures[index], 2), self.pictures[index]


class Net(nn.Module):
    """Pictures (batch, 1, h, w) to pictures (batch, 1, 2 · h, 2 · w)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, upscale_factor**2, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        nn.init.orthogonal_(self.conv1.weight, nn.init.calculate_gain("relu"))
        nn.init.orthogonal_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.pixel_shuffle(self.conv2(torch.relu(self.conv1(x))))


class PSNR:
    """The signal-to-noise ratio of a batch, as a mean over batches of any size."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.batches = torch.zeros(()), 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.total = self.total + 10 * torch.log10(1 / mse_loss(prediction, target))
        self.batches += 1

    def compute(self) -> Tensor:
        return self.total / self.batches


def super_resolution() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "train": made(f"{HERE}.Pictures", 10, 1),
            "test": made(f"{HERE}.Pictures", 5, 2),
        },
        "loader_factories": {"training": loader("train"), "testing": loader("test", 2)},
        "models": {"net": made(f"{HERE}.Net", upscale_factor=2)},
        "optimizers": {"adam": trained_by(made("Adam", lr=0.01), "net")},
        "losses": {"mse": {**made("MSELoss"), "inputs": ["prediction", "target"]}},
        "metrics": {"psnr": {**made(f"{HERE}.PSNR"), "inputs": ["prediction", "target"]}},
        "batch_processors": {"run": {"neural_graph": [node("net", "input", "prediction", "adam")]}},
    }
    pipelines = {
        "train": {"input_factories": [feed("training", "input target")], "losses": [loss("mse")]},
        "test": {
            "input_factories": [feed("testing", "input target")],
            "metrics": [{"metric_name": "psnr"}],
        },
    }
    return config(groups, pipelines, stage("train", epochs=EPOCHS, validation=["test"]))


def test_super_resolution(tmp_path: Path) -> None:
    twin = Twin(super_resolution(), tmp_path)
    model = twin.models["net"]
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    ratios = []
    for _ in range(EPOCHS):
        for picture, target in batches_of(Pictures(10, 1)):
            optimizer.zero_grad()
            mse_loss(model(picture), target).backward()
            optimizer.step()
        avg_psnr = 0.0
        with torch.no_grad():
            for picture, target in batches_of(Pictures(5, 2), 2):
                avg_psnr += 10 * log10(1 / mse_loss(model(picture), target).item())
        ratios.append(avg_psnr / 3)
    twin.check()
    assert twin.session.history["psnr"].tolist() == pytest.approx(ratios)
    Runs(super_resolution(), tmp_path).check_cuts([2, 3])


def made_batch(generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """32 random points as powers float32 (32, DEGREE), and the polynomial there (32, 1)."""
    x = torch.randn(32, generator=generator).unsqueeze(1)
    features = torch.cat([x**i for i in range(1, DEGREE + 1)], 1)
    weights = torch.tensor([[2.0], [-3.0], [0.5], [1.0]])
    return features, features.mm(weights) + 4.0


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Each is made when it is asked for, by torch's own generator."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return made_batch()


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches without an end, made by a generator of its own; it does not say where it is."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(9)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield made_batch(self.generator)


class Below:
    """Whether the loss of the last epoch was below a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, epoch: int, history: Sequence[dict[str, Any]]) -> bool:
        return history[-1]["loss"] < self.limit


def regression(dataset: str) -> Config:
    """An epoch is one iteration, so that training can end after any."""
    in_order = {"shuffle": False} if dataset == "Batches" else {}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"batches": made(f"{HERE}.{dataset}")},
        "loader_factories": {"made": loader_of_batches("batches", **in_order)},
        "models": {"fc": made("torch.nn.Linear", DEGREE, 1)},
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.1), "fc")},
        "losses": {"smooth": {**made("SmoothL1Loss"), "inputs": ["output", "y"]}},
        "batch_processors": {"run": {"neural_graph": [node("fc", "x", "output", "sgd")]}},
    }
    fit = {
        "input_factories": [feed("made", "x y")],
        "losses": [loss("smooth", loss_display_name="loss")],
    }
    until = made(f"{HERE}.Below", LIMIT)
    only = {"training_pipelines": ["fit"], "epoch_length": 1, "stop_condition": until}
    return config(groups, {"fit": fit}, only)


def loader_of_batches(dataset: str, **kwargs: bool) -> Config:
    return {"dataset": dataset, "kwargs": {"batch_size": None, **kwargs}}


@pytest.mark.parametrize("dataset", [Batches, Stream])
def test_polynomial(tmp_path: Path, dataset: type[Dataset[Any]]) -> None:
    twin = Twin(regression(dataset.__name__), tmp_path)
    fc = twin.models["fc"]
    sgd = optim.SGD(fc.parameters(), lr=0.1)
    losses = []
    for x, y in DataLoader(dataset(), batch_size=None, generator=torch.Generator()):
        fc.zero_grad()
        output = smooth_l1_loss(fc(x), y)
        losses.append(output.item())
        output.backward()
        sgd.step()
        if losses[-1] < LIMIT:
            break
    twin.check()
    assert twin.session.history["loss"].tolist() == losses
    assert len(losses) > 3
    Runs(regression(dataset.__name__), tmp_path).check_cuts([1, 3])
