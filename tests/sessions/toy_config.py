"""A small config over the toys, and what the tests of sessions share."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

Config = dict[str, Any]


def toy_config(**changes: Any) -> Config:
    """A regression on points: one model, training and validation, three epochs.

    ``changes`` set the spec of a definition by its name.
    """
    definitions = {
        "points": ("datasets", {"class": "toys.Points"}),
        "parts": ("splits", {"dataset_name": "points", "ratio": [0.75, 0.25]}),
        "training": (
            "loader_factories",
            {"dataset": "parts.train", "kwargs": {"batch_size": 8}},
        ),
        "checking": ("loader_factories", {"dataset": "parts.val", "kwargs": {"batch_size": 8}}),
        "net": ("models", {"class": "toys.Net"}),
        "adam": ("optimizers", {"class": "Adam", "model": "net", "kwargs": {"lr": 0.01}}),
        "mse": ("losses", {"class": "MSELoss", "inputs": ["y_hat", "y"]}),
        "processor": (
            "batch_processors",
            {
                "neural_graph": [
                    {
                        "model_name": "net",
                        "inputs": ["x"],
                        "outputs": ["y_hat"],
                        "optimizer_name": "adam",
                    }
                ],
                "device": "cpu",
            },
        ),
    }
    more = {name: spec for name, spec in changes.items() if name not in definitions}
    for name, (group, spec) in more.items():
        definitions[name] = (group, spec)
    return {
        "session_dir": "run",
        "seed": 5,
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": changes.get(name, spec)}
                if name not in more
                else {"group": group, "name": name, "spec": spec}
                for name, (group, spec) in definitions.items()
            ],
            "pipelines": {
                "fit": pipeline("training", "loss"),
                "check": pipeline("checking", "val loss"),
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["fit"],
                    "validation_pipelines": ["check"],
                    "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 3}},
                }
            ]
        },
    }


def pipeline(loader: str, shown: str) -> Config:
    """A pipeline over the toy's only processor."""
    return {
        "input_factories": [{"variable_names": ["x", "y"], "loader_factory": loader}],
        "losses": [{"loss_name": "mse", "loss_display_name": shown}],
    }


Command = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """The environment of a command: the toys are importable, and trusted."""
    toys = {
        "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}",
        "TORCHASSISTANT_TRUST": "toys plain_data pretrained_parts",
    }
    return {**os.environ, **toys, "PYTHONDONTWRITEBYTECODE": "1"}


def wait_for_state(session: Any) -> None:
    """Wait until the state at hand is written behind, and what belongs to it, which is quick."""
    folder, step = session.path / "checkpoints", f"{session.progress.step:010}"
    end = time.monotonic() + 60
    # A second state of a step, after its validation, takes the place of the first.
    while not any(folder.glob(f"{step}*/manifest.json")):
        assert time.monotonic() < end, f"there is {os.listdir(folder)}"
        time.sleep(0.005)
    time.sleep(0.3)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(path: Path, data: Any) -> str:
    path.write_text(json.dumps(data, indent=1))
    return path.name
