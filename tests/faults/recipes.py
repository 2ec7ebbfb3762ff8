"""The configs of all recipes of ``tests/exactness``, and of all examples, made small."""

from __future__ import annotations

import importlib
import inspect
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from faults import RECIPES, ROOT, Config, environment

RECIPE_MODULES = sorted(path.stem for path in RECIPES.glob("test_recipe_*.py"))
ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "autoencoder": [({"optimizer": "adam"},), ({"model": ["encoder", "decoder"]},)],
    "styled": [("Adam",), ("LBFGS",)],
}
"""Of functions that have to be given some."""


def recipes_in(module: str) -> Iterator[tuple[str, Config]]:
    """The configs of a module of recipes, by the names of the functions that give them."""
    found = importlib.import_module(module)
    for name, function in vars(found).items():
        if not inspect.isfunction(function) or function.__module__ != module:
            continue
        signature = inspect.signature(function)
        if signature.return_annotation != "Config":
            continue
        needed = [p for p in signature.parameters.values() if p.default is p.empty]
        if any(p.kind is p.POSITIONAL_OR_KEYWORD for p in needed) and name not in ARGUMENTS:
            continue
        for number, arguments in enumerate(ARGUMENTS.get(name, [()])):
            config = function(*arguments)
            if "train" in config:
                yield f"{name} {number}" if number else name, config


# --- examples -------------------------------------------------------------------------------------


def _epochs(*counts: int) -> list[str]:
    path = "train.stages[{}].stop_condition.kwargs.num_epochs={}"
    return [path.format(stage, count) for stage, count in enumerate(counts)]


EXAMPLES = {
    "digits": ["parts.ratio=[0.1, 0.05, 0.85]", *_epochs(3)],
    "distillation": ["parts.ratio=[0.1, 0.05, 0.85]", *_epochs(2, 2)],
    "finetune": _epochs(2, 2),
    "finetune/pretraining": ["shapes.kwargs.count=70", *_epochs(2)],
    "gan": [
        "digits_loader.kwargs.batch_size=400",
        "noise_loader.kwargs.batch_size=400",
        "train.stages[0].debug_pipelines[0].interval=3",
        *_epochs(3),
    ],
    "language_model": _epochs(2),
    "mnist": _epochs(2),
    "translation": ["numbers.kwargs.count=200", *_epochs(2)],
    "wgan": ["train.stages[0].epoch_length=3", *_epochs(3)],
}
"""What is set in the training config of each, so that it takes a second."""


def furnish(folder: Path, example: str) -> None:
    """Put into a folder what an example reads there."""
    if example == "language_model":
        (folder / "docs").mkdir()
        text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
        (folder / "docs" / "text.md").write_text(text[:8000], encoding="utf-8")
    elif example == "mnist":
        _write_mnist(folder / "data" / "MNIST" / "raw")
    elif example == "finetune":
        _run(folder, "-m", "examples.finetune.pictures")
        settings = [part for text in EXAMPLES["finetune/pretraining"] for part in ("--set", text)]
        config = ROOT / "examples" / "finetune" / "pretraining.json"
        _run(folder, str(ROOT / "init.py"), str(config), *settings)
        _run(folder, str(ROOT / "train.py"), "sessions/pretraining")


def _run(folder: Path, *command: str) -> None:
    env = {**os.environ, **environment()}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _write_mnist(folder: Path) -> None:
    """Random images in the files of MNIST: a magic number, the shape, the bytes."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 160), ("t10k", 40)):
        for kind, array in {
            "images-idx3": random.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            "labels-idx1": random.integers(0, 10, count, dtype=np.uint8),
        }.items():
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
