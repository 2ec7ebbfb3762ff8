"""MNIST by a convolutional, a recurrent and a vision transformer network, as config and loop.

Each epoch ends with a pass over the test data: the mean negative log-likelihood, summed over the
batches and divided by the examples, and the share of right answers. The rate falls every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
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
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import Dataset

HERE = __name__
EPOCHS = 3


class Digits(Dataset[tuple[Tensor, int]]):
    """Pictures float32 (1, 12, 12), each with its digit."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.pictures = torch.randn(count, 1, 12, 12, generator=generator)
        self.digits = torch.randint(10, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], self.digits[index]


class Convolutional(nn.Module):
    """Pictures (batch, 1, 12, 12) to log-likelihoods (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 6, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(96, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = self.dropout1(functional.max_pool2d(x, 2))
        x = self.dropout2(functional.relu(self.fc1(torch.flatten(x, 1))))
        return functional.log_softmax(self.fc2(x), dim=1)


class Recurrent(nn.Module):
    """The same, row by row of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(12, 8, batch_first=True)
        self.batchnorm = nn.BatchNorm1d(8)
        self.dropout1 = nn.Dropout2d(0.25)
        self.dropout2 = nn.Dropout2d(0.5)
        self.fc1 = nn.Linear(8, 8)
        self.fc2 = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.rnn(x.reshape(-1, 12, 12))
        output = self.dropout1(self.batchnorm(output[:, -1, :]))
        output = self.dropout2(functional.relu(self.fc1(output)))
        return functional.log_softmax(self.fc2(output), dim=1)


class ViT(nn.Module):
    """The same by attention between patches of four by four pixels, and a token of the class."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 10, width))
        layer = nn.TransformerEncoderLayer(width, 2, 16, 0.1, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.encoder(x)[:, 0])


NETS = ["Convolutional", "Recurrent", "ViT"]
pytestmark = pytest.mark.filterwarnings("ignore:dropout2d")  # as the program does it


def mnist(net: str) -> Config:
    adadelta = trained_by(made("Adadelta", lr=1.0), "net")
    adadelta["lr_scheduler"] = made("StepLR", step_size=1, gamma=0.7)
    adamw = trained_by(made("AdamW", lr=5e-4), "net")
    criterion = "CrossEntropyLoss" if net == "ViT" else "NLLLoss"
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "train": made(f"{HERE}.Digits", 22, 1),
            "test": made(f"{HERE}.Digits", 9, 2),
        },
        "loader_factories": {"training": loader("train"), "testing": loader("test", 6)},
        "models": {"net": made(f"{HERE}.{net}")},
        "optimizers": {"optimizer": adamw if net == "ViT" else adadelta},
        "losses": {"error": {**made(criterion), "inputs": ["output", "target"]}},
        "metrics": {"accuracy": {**made(f"{HERE}.right"), "inputs": ["output", "target"]}},
        "batch_processors": {"run": {"neural_graph": [node("net", "data", "output", "optimizer")]}},
    }
    pipelines = {
        "train": {
            "input_factories": [feed("training", "data target")],
            "losses": [loss("error", loss_display_name="loss")],
        },
        "test": {
            "input_factories": [feed("testing", "data target")],
            "losses": [loss("error", loss_display_name="test loss")],
            "metrics": [{"metric_name": "accuracy"}],
        },
    }
    return config(groups, pipelines, stage("train", epochs=EPOCHS, validation=["test"]))


def right(output: Tensor, target: Tensor) -> Tensor:
    """The share of right answers in a batch."""
    return (output.argmax(1) == target).float().mean()


def train(
    model: nn.Module, criterion: Callable[..., Tensor], optimizer: Optimizer, gamma: float
) -> list[tuple[float, float]]:
    """The loop; gives the loss and accuracy of the test pass of each epoch."""
    tested = []
    scheduler = StepLR(optimizer, step_size=1, gamma=gamma)
    for _ in range(EPOCHS):
        model.train()
        for data, target in batches_of(Digits(22, 1)):
            optimizer.zero_grad()
            output = model(data)
            criterion(output, target).backward()
            optimizer.step()
        model.eval()
        test_loss, correct = 0.0, 0
        with torch.no_grad():
            for data, target in batches_of(Digits(9, 2), 6):
                output = model(data)
                test_loss += criterion(output, target, reduction="sum").item()
                correct += int(output.argmax(dim=1).eq(target).sum())
        tested.append((test_loss / 9, correct / 9))
        scheduler.step()
    return tested


@pytest.mark.parametrize("net", NETS)
def test_it_equals_a_plain_loop(tmp_path: Path, net: str) -> None:
    twin = Twin(mnist(net), tmp_path)
    model = twin.models["net"]
    if net == "ViT":
        adamw = optim.AdamW(model.parameters(), lr=5e-4)
        tested = train(model, functional.cross_entropy, adamw, 1.0)
    else:
        adadelta = optim.Adadelta(model.parameters(), lr=1.0)
        tested = train(model, functional.nll_loss, adadelta, 0.7)
    twin.check()
    history = twin.session.history
    assert history["test loss"].tolist() == pytest.approx([loss for loss, _ in tested], rel=1e-6)
    assert history["accuracy"].tolist() == pytest.approx([share for _, share in tested])


@pytest.mark.parametrize("net", NETS)
def test_it_can_be_cut(tmp_path: Path, net: str) -> None:
    Runs(mnist(net), tmp_path).check_cuts([7])
