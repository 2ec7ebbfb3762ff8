"""Super-resolution: sub-pixel convolutions learn to undo a downscaling, as config and loop.

Each epoch ends with the mean PSNR of the batches of the test pictures, the last of which is small.
"""

from __future__ import annotations

import math
from pathlib import Path

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
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

HERE = __name__
UPSCALE, EPOCHS = 2, 3


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Pictures float32 (1, 4, 4) and the same at full size, (1, 8, 8)."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.full = torch.rand(count, 1, 4 * UPSCALE, 4 * UPSCALE, generator=generator)

    def __len__(self) -> int:
        return len(self.full)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        full = self.full[index]
        return interpolate(full[None], scale_factor=1 / UPSCALE, mode="bilinear")[0], full


class Net(nn.Module):
    """Pictures (batch, 1, H, W) to (batch, 1, H·upscale, W·upscale)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1)
        self.conv3 = nn.Conv2d(4, upscale_factor**2, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        for conv in (self.conv1, self.conv2):
            nn.init.orthogonal_(conv.weight, nn.init.calculate_gain("relu"))
        nn.init.orthogonal_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x).relu()).relu()
        return self.pixel_shuffle(self.conv3(x))


class MeanPSNR:
    """The mean over batches, whatever their size, of the PSNR in decibels."""

    better = "max"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.batches = 0.0, 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.total += 10 * math.log10(1 / (prediction - target).square().mean().item())
        self.batches += 1

    def compute(self) -> float:
        return self.total / self.batches


def super_resolution() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "train": made(f"{HERE}.Pictures", 10, 1),
            "test": made(f"{HERE}.Pictures", 5, 2),
        },
        "loader_factories": {
            "training": loader("train"),
            "testing": loader("test", 2),
        },
        "models": {"model": made(f"{HERE}.Net", upscale_factor=UPSCALE)},
        "optimizers": {"adam": trained_by(made("Adam", lr=0.01), "model")},
        "losses": {"error": {**made("MSELoss"), "inputs": ["prediction", "target"]}},
        "metrics": {"psnr": {**made(f"{HERE}.MeanPSNR"), "inputs": ["prediction", "target"]}},
        "batch_processors": {
            "run": {"neural_graph": [node("model", "input", "prediction", "adam")]}
        },
    }
    pipelines = {
        "train": {
            "input_factories": [feed("training", "input target")],
            "losses": [loss("error")],
        },
        "test": {
            "input_factories": [feed("testing", "input target")],
            "metrics": [{"metric_name": "psnr"}],
        },
    }
    return config(groups, pipelines, stage("train", epochs=EPOCHS, validation=["test"]))


def test_it_equals_a_plain_loop(tmp_path: Path) -> None:
    twin = Twin(super_resolution(), tmp_path)
    model = twin.models["model"]
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    measured = []
    for _ in range(EPOCHS):
        for picture, target in batches_of(Pictures(10, 1)):
            optimizer.zero_grad()
            error = criterion(model(picture), target)
            error.backward()
            optimizer.step()
        avg_psnr = 0.0
        testing = batches_of(Pictures(5, 2), 2)
        with torch.no_grad():
            for picture, target in testing:
                mse = criterion(model(picture), target)
                avg_psnr += 10 * math.log10(1 / mse.item())
        measured.append(avg_psnr / len(testing))
    twin.check()
    assert twin.session.history["psnr"].tolist() == pytest.approx(measured)


def test_it_can_be_cut(tmp_path: Path) -> None:
    Runs(super_resolution(), tmp_path).check_cuts([2, 5])
