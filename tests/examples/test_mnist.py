"""The MNIST example, on real digits in MNIST's own files, so that nothing is downloaded."""

from __future__ import annotations

import csv
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

CONFIG = "examples/mnist/training.json"
SESSION = "sessions/mnist"
RAW = "data/MNIST/raw"
TRAINING_IMAGES = 1500


def mnist_like_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """scikit-learn's digits as images, uint8 (1797, 28, 28), and labels, uint8 (1797,)."""
    digits = load_digits()
    large = np.kron(digits.images * (255 / 16), np.ones((3, 3)))
    images = np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    return images, digits.target.astype(np.uint8)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a file as MNIST has them: a magic number, the shape, the bytes."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def raw(workplace: Path) -> Path:
    """The folder where torchvision keeps the files of MNIST, filled."""
    folder = workplace / RAW
    folder.mkdir(parents=True)
    images, labels = mnist_like_digits()
    for name, part in (("train", slice(TRAINING_IMAGES)), ("t10k", slice(TRAINING_IMAGES, None))):
        write_idx(folder / f"{name}-images-idx3-ubyte", images[part])
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels[part])
    return folder


@pytest.fixture(scope="module")
def session(workplace: Path, raw: Path, run: Run) -> Path:
    """The trained session."""
    config = workplace / CONFIG
    # With the learning rate of the quick start some seeds get stuck; this one does not.
    config.write_text(config.read_text().replace("{", '{"seed": 0,', 1))
    run("init.py", CONFIG)
    run("train.py", SESSION)
    return workplace / SESSION


def test_lenet_learns(session: Path, run: Run) -> None:
    results = json.loads(run("evaluate.py", "examples/mnist/evaluation.json", "--json").stdout)
    assert list(results) == ["test loss", "test accuracy"]
    assert results["test accuracy"] >= 0.8


def test_history_has_a_row_for_each_epoch(session: Path) -> None:
    with (session / "metrics" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "loss", "test loss", "test accuracy", "seconds"]
    # 47 batches of 32 hold the 1500 images.
    assert [int(row["step"]) for row in rows] == [47, 94, 141, 188, 235]


def test_inference_prints_the_digit_of_a_picture(session: Path, workplace: Path, run: Run) -> None:
    images, labels = mnist_like_digits()
    held_out = range(TRAINING_IMAGES, TRAINING_IMAGES + 20)
    for index in held_out:
        Image.fromarray(images[index]).save(workplace / f"{index}.png")
    pictures = [f"{index}.png" for index in held_out]
    printed = run("infer.py", "examples/mnist/inference.json", *pictures).stdout.splitlines()
    right = sum(
        line == f"{index}.png: {labels[index]}"
        for line, index in zip(printed, held_out, strict=True)
    )
    assert right >= 15


def test_nothing_was_downloaded(session: Path, raw: Path) -> None:
    assert sorted(path.name for path in raw.iterdir()) == [
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
    ]


def test_the_quick_start_of_the_readme_works_as_typed(workplace: Path, raw: Path, run: Run) -> None:
    page = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    start = page[page.index("## Quick start") : page.index("## In an editor")]
    code, config, commands = re.findall(r"```\w*\n(.*?)```", start, re.DOTALL)
    folder = workplace / "my_examples" / "mnist"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(code)
    (folder / "training.json").write_text(config)
    for line in commands.splitlines():
        done = run(*line.removeprefix("python ").split())
    assert "val acc" in done.stdout
    with (workplace / "pretrained" / "metrics" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert float(rows[-1]["val acc"]) > 0.5
