"""The configs of docs/coming-from.md, as they stand there, on small images."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from warm_commands import WarmCommands

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
BLOCKS = re.findall(
    r"^```(?:yaml|python)\n(# (\S+)\n.*?)^```$",
    PAGE.read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
SMALL = """
from torch import nn
from torchvision.datasets import ImageFolder

class Net(nn.Sequential):
    def __init__(self, out_channels, flat=True):
        end = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if flat else []
        super().__init__(nn.Conv2d(3, out_channels, 3), nn.ReLU(), *end)
        self.out_channels = out_channels

class CIFAR10(ImageFolder):
    def __init__(self, root, train, download, transform):
        super().__init__("images/train" if train else "images/val", transform=transform)
"""
"""What takes the place of what is large, or is downloaded."""

SETTINGS = {
    "torchok": {
        "training_images.class": "small.CIFAR10",
        "training_loader.kwargs.num_workers": 0,
        "training_loader.kwargs.batch_size": 8,
        "variables.height": 8,
        "variables.width": 8,
        "backbone": "@backbone.yaml",
        "precision": "float32",
        "train.stages[0].stop_condition.kwargs.num_epochs": 2,
    },
    "argus": {"nn_module": "@net.yaml", "precision": "float32"},
    "neutrino": {"model": "@net.yaml"},
}
COLUMNS = {
    "torchok": ["loss1", "loss2", "valid/loss1", "valid/loss2", "valid/Accuracy", "valid/F1Score"],
    "argus": [
        *("train_loss", "train_top_3/accuracy", "train_top_3/rank"),
        *("val_loss", "val_top_3/accuracy", "val_top_3/rank"),
    ],
    "neutrino": ["loss", "loss/loss", "eval/accuracy"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page has, and images of three classes that differ in their colour."""
    folder = tmp_path_factory.mktemp("guides")
    for text, name in BLOCKS:
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "small.py").write_text(SMALL)
    (folder / "net.yaml").write_text("{class: small.Net, kwargs: {out_channels: 10}}")
    (folder / "backbone.yaml").write_text("{class: small.Net, args: [8, false]}")
    rng = np.random.default_rng(0)
    for index in range(32):
        part, kind = ("train", "val")[index // 24], f"class{index % 3}"
        pixels = rng.integers(0, 100, (12, 12, 3)).astype(np.uint8)
        pixels[:, :, index % 3] += 150
        (folder / "images" / part / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / part / kind / f"{index}.png")
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_a_guide_runs(name: str, folder: Path, warm_commands: WarmCommands) -> None:
    trusted = ["small", *(file.removesuffix(".py") for _, file in BLOCKS if file.endswith(".py"))]
    environment = os.environ | {"TORCHASSISTANT_TRUST": " ".join(trusted), "HOME": str(folder)}

    def run(*arguments: str) -> str:
        done = warm_commands.run("-m", "torchassistant", *arguments, cwd=folder, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    config = f"{name}.yaml"
    run("check", config, "--allow-write", str(folder / ".cache/torchok/data/cifar10"))
    chosen = {**SETTINGS[name], "session_dir": name, "device": "cpu"}
    run(
        "init", config, *(x for path, value in chosen.items() for x in ("--set", f"{path}={value}"))
    )
    run("train", name)
    with (folder / name / "metrics" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", *COLUMNS[name], "seconds"]
    assert len(rows) == (4 if name == "neutrino" else 2)
    if name == "neutrino":
        assert [bool(row["eval/accuracy"]) for row in rows] == [False, True] * 2
    run("evaluate", name)
