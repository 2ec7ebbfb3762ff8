"""Classification as on ImageNet: warm-up, cosine, label smoothing, top-1 and top-5."""

from __future__ import annotations

from pathlib import Path

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
)
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.utils.data import Dataset

HERE = __name__
CLASSES = 10
EPOCHS = 3


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures float32 (3, 8, 8), each with one of ten classes."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.pictures = torch.randn(count, 3, 8, 8, generator=generator)
        self.labels = torch.randint(CLASSES, (count,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], self.labels[index]


class SmallResNet(nn.Module):
    """Pictures (batch, 3, 8, 8) to scores (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


def imagenet() -> Config:
    sgd = {
        **made("SGD", lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
        "model": "resnet",
        "parameters": [
            {
                "name": "no decay",
                "match": ["bn*", "*.bias"],
                "kwargs": {"weight_decay": 0},
            }
        ],
        "lr_scheduler": {
            **made("CosineAnnealingLR", T_max="auto"),
            "interval": "step",
            "warmup": {"steps": 3, "start_factor": 0.01},
        },
    }
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "train": made(f"{HERE}.Pictures", 22, 1),
            "val": made(f"{HERE}.Pictures", 9, 2),
        },
        "loader_factories": {"batches": loader("train"), "checks": loader("val")},
        "models": {"resnet": made(f"{HERE}.SmallResNet")},
        "optimizers": {"sgd": sgd},
        "losses": {
            "smooth": {**made("CrossEntropyLoss", label_smoothing=0.1), "inputs": ["scores", "y"]},
            "plain": {**made("CrossEntropyLoss"), "inputs": ["scores", "y"]},
        },
        "metrics": {
            f"top {k}": {
                **made("MulticlassAccuracy", num_classes=CLASSES, top_k=k, average="micro"),
                "inputs": ["scores", "y"],
            }
            for k in (1, 5)
        },
        "batch_processors": {"run": {"neural_graph": [node("resnet", "x", "scores", "sgd")]}},
    }
    pipelines = {
        "fit": {"input_factories": [feed("batches", "x y")], "losses": [loss("smooth")]},
        "check": {
            "input_factories": [feed("checks", "x y")],
            "losses": [loss("plain", loss_display_name="val loss")],
            "metrics": [{"metric_name": "top 1"}, {"metric_name": "top 5"}],
        },
    }
    return config(groups, pipelines, stage("fit", epochs=EPOCHS, validation=["check"]))


def test_it_trains_as_in_a_loop(tmp_path: Path) -> None:
    twin = Twin(imagenet(), tmp_path)
    model = twin.models["resnet"]
    named = dict(model.named_parameters())
    bare = [named.pop(name) for name in list(named) if name.startswith("bn") or "bias" in name]
    optimizer = torch.optim.SGD(
        [{"params": bare, "weight_decay": 0}, {"params": list(named.values())}],
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-2,
        nesterov=True,
    )
    batches = batches_of(Pictures(22, 1))
    warmup = LinearLR(optimizer, 0.01, total_iters=3)
    cosine = CosineAnnealingLR(optimizer, T_max=EPOCHS * len(batches) - 3)
    scheduler = SequentialLR(optimizer, [warmup, cosine], [3])
    top: list[tuple[float, float]] = []
    for _ in range(EPOCHS):
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            cross_entropy(model(x), y, label_smoothing=0.1).backward()
            optimizer.step()
            scheduler.step()
        top.append((right(model, 1), right(model, 5)))
    twin.check()
    history = twin.session.history
    assert history["top 1"].tolist() == [one for one, _ in top]
    assert history["top 5"].tolist() == [five for _, five in top]
    assert optimizer.param_groups[0]["lr"] == twin.session.optimizers["sgd"].param_groups[0]["lr"]


def right(model: nn.Module, k: int) -> float:
    """For what share of the pictures the class is among the best k."""
    model.eval()
    hits = torch.zeros(())
    for x, y in batches_of(Pictures(9, 2)):
        with torch.no_grad():
            hits += (model(x).topk(k).indices == y[:, None]).sum()
    return float(hits / 9)


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(imagenet(), tmp_path).check_cuts(range(1, 19, 3))
