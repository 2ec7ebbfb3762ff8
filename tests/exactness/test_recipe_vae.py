"""Variational autoencoders as config and loop: one function for a loss, or a KL term ramped up."""

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
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy
from torch.utils.data import Dataset


class Digits(Dataset[Tensor]):
    """Pictures of 6 by 6 pixels between 0 and 1, flat: float32 (36,)."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(3)
        self.pictures = torch.rand(count, 36, generator=generator)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.pictures[index]


class VAE(nn.Module):
    """Pictures (batch, 36) to what it makes of them, and the mean and log variance of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(36, 12)
        self.fc21 = nn.Linear(12, 3)
        self.fc22 = nn.Linear(12, 3)
        self.fc3 = nn.Linear(3, 12)
        self.fc4 = nn.Linear(12, 36)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn(std.shape) * std
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z)))), mu, logvar


class KLToNormal(nn.Module):
    """The divergence of the code from a standard normal one, summed over the batch."""

    def forward(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def loss_function(picture: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Reconstruction and divergence, summed over all elements and the batch."""
    bce = binary_cross_entropy(picture, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


loss_function.reduction = "sum"  # type: ignore[attr-defined]
HERE = __name__


def vae(**fit: object) -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"digits": made(f"{HERE}.Digits", 14), "others": made(f"{HERE}.Digits", 6)},
        "loader_factories": {"train": loader("digits"), "test": loader("others")},
        "models": {"vae": made(f"{HERE}.VAE")},
        "optimizers": {"adam": trained_by(made("Adam", lr=1e-3), "vae")},
        "losses": {
            "reconstruction": {**made("BCELoss", reduction="sum"), "inputs": ["picture", "x"]},
            "kl": {**made(f"{HERE}.KLToNormal"), "inputs": ["mu", "logvar"]},
            "both": {
                "class": f"{HERE}.loss_function",
                "inputs": ["picture", "x", "mu", "logvar"],
            },
        },
        "batch_processors": {
            "run": {"neural_graph": [node("vae", "x", "picture mu logvar", "adam")]}
        },
    }
    losses = [
        loss("reconstruction"),
        loss("kl", weight=made("LinearRamp", start=0.0, end=1.0, steps=6)),
    ]
    pipelines = {
        "fit": {"input_factories": [feed("train", "x")], "losses": losses, **fit},
        "check": {"input_factories": [feed("test", "x")], "losses": losses},
    }
    return config(groups, pipelines, stage("fit", epochs=3, validation=["check"]))


def test_it_trains_as_in_a_loop(tmp_path: Path) -> None:
    twin = Twin(vae(), tmp_path)
    model = twin.models["vae"]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    kl_to_normal = KLToNormal()
    step = 0
    for _ in range(3):
        for x in batches_of(Digits(14)):
            optimizer.zero_grad()
            picture, mu, logvar = model(x)
            beta = min(1.0, step / 6)
            bce = binary_cross_entropy(picture, x, reduction="sum")
            (bce + beta * kl_to_normal(mu, logvar)).backward()
            optimizer.step()
            step += 1
    twin.check()


def test_one_function_for_a_loss(tmp_path: Path) -> None:
    """Adam sees the sum over the batch; the history has it for each example, as the program has."""
    twin = Twin(vae(losses=[loss("both")]), tmp_path)
    model = twin.models["vae"]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        train_loss = 0.0
        for x in batches_of(Digits(14)):
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(x)
            error = loss_function(recon_batch, x, mu, logvar)
            error.backward()
            train_loss += error.item()
            optimizer.step()
        losses.append(train_loss / 14)
    twin.check()
    assert twin.session.history["both"].tolist() == pytest.approx(losses)


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    runs = Runs(vae(), tmp_path)
    runs.check_cuts()
    runs.check_all_cuts_in_one()
