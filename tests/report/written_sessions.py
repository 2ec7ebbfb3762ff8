"""Sessions as training leaves them, written by hand: small, and of any shape that a test wants."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

HOSTILE = '</script><img src=x onerror="window.hurt=1">"\'&é日本 \u2028'
"""A name that would end a script, an attribute or a text, if it were not escaped."""


PHASES = {"data": 0.2, "forward": 0.4, "backward": 0.6, "callbacks": 0.0, "other": 0.3}
"""Where the time of a row went."""


def spec_of(folder: Path, stages: int = 1, layers: int = 1, **changes: Any) -> dict[str, Any]:
    """A config of a classifier, whose net is called so many times in a row."""
    columns = ["image", *(f"hidden{place}" for place in range(1, layers)), "scores"]
    data = [{"loader_factory": "batches", "variable_names": ["image", "label"]}]
    return {
        "session_dir": str(folder),
        "seed": 7,
        "checkpoints": {"best": [{"monitor": "val acc", "mode": "max", "keep": 1}]},
        "initialize": {
            "definitions": [
                {"name": "digits", "group": "datasets", "spec": {"class": "data.Digits"}},
                {"name": "batches", "group": "loader_factories", "spec": {"dataset": "digits"}},
                {"name": "net", "group": "models", "spec": {"class": "nets.Net"}},
                {"name": "adam", "group": "optimizers", "spec": {"class": "Adam", "model": "net"}},
                {
                    "name": "classifier",
                    "group": "batch_processors",
                    "spec": {
                        "neural_graph": [
                            {
                                "name": f"layer{place}",
                                "model_name": "net",
                                "inputs": [given],
                                "outputs": [made],
                                "optimizer_name": "adam",
                            }
                            for place, (given, made) in enumerate(pairwise(columns))
                        ]
                    },
                },
                {
                    "name": "entropy",
                    "group": "losses",
                    "spec": {"class": "CrossEntropyLoss", "inputs": ["scores", "label"]},
                },
                {
                    "name": "accuracy",
                    "group": "metrics",
                    "spec": {"class": "Accuracy", "inputs": ["scores", "label"]},
                },
                {
                    "name": "cm",
                    "group": "metrics",
                    "spec": {"class": "MulticlassConfusionMatrix", "inputs": ["scores", "label"]},
                },
            ],
            "pipelines": {
                "fit": {
                    "input_factories": data,
                    "losses": [{"loss_name": "entropy", "loss_display_name": "loss"}],
                },
                "check": {
                    "input_factories": data,
                    "losses": [{"loss_name": "entropy", "loss_display_name": "val loss"}],
                    "metrics": [
                        {"metric_name": "accuracy", "display_name": "val acc"},
                        {"metric_name": "cm", "display_name": "confusion"},
                    ],
                },
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": ["fit"],
                    "validation_pipelines": ["check"],
                    "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 20}},
                }
                | ({"name": f"part {number}"} if stages > 1 else {})
                for number in range(stages)
            ]
        },
    } | changes


def curve(epoch: int, bend: float = 1.0) -> float:
    """A loss that falls."""
    return 2.0 * math.exp(-epoch / (20 * bend)) + 0.05 * math.sin(epoch * bend)


def rows_of_epochs(epochs: Sequence[int], bend: float = 1.0, **more: Any) -> list[dict[str, Any]]:
    """Rows at the ends of epochs; ``more`` gives a column from the epoch."""
    return [
        {
            "epoch": epoch,
            "step": epoch * 10,
            "loss": curve(epoch, bend),
            "val loss": curve(epoch, bend) + 0.1,
            "val acc": 1 - curve(epoch, bend) / 3,
            **{name.replace("__", "/"): value(epoch) for name, value in more.items()},
            "seconds": 1.5,
        }
        for epoch in epochs
    ]


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as training writes them."""
    text = io.StringIO()
    if rows:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows(["" if v is None else v for v in row.values()] for row in rows)
    return text.getvalue()


def write_session(
    folder: Path,
    stages: Sequence[Sequence[Mapping[str, Any]]] | None = None,
    files: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A session.

    Args:
        folder: Where.
        stages: The rows of each stage.
        files: What stands in further files: bytes, a text, or data as JSON; None leaves one out.
        changes: Of the config.
    """
    stages = [rows_of_epochs(range(1, 9))] if stages is None else stages
    every = [row for rows in stages for row in rows]
    step = int(every[-1]["step"]) if every else 0
    progress = {"stage": len(stages), "epoch": len(every), "step": step}
    content: dict[str, Any] = {
        "spec.json": spec_of(folder, max(1, len(stages)), **changes),
        "environment.json": {
            "time": "2026-01-02T03:04:05+00:00",
            "command": ["init.py", "config.json"],
            "seed": 7,
            "device": "cpu",
            "packages": {"torch": "2.10"},
        },
        f"checkpoints/{step:010}/state.json": {"progress": progress},
        f"checkpoints/{step:010}/code.json": {"models": {"nets.Net": "class Net:\n    n = 3\n"}},
        **{f"metrics/{number}.csv": csv_of(rows) for number, rows in enumerate(stages)},
        "metrics/times.csv": csv_of(
            [
                {
                    "stage": number,
                    "epoch": row["epoch"],
                    "step": row["step"],
                    "time": 1.7e9 + place,
                    **PHASES,
                }
                for number, rows in enumerate(stages)
                for place, row in enumerate(rows)
            ]
        ),
        **(files or {}),
    }
    for name, given in content.items():
        if given is None:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(given, bytes):
            path.write_bytes(given)
        else:
            text = given if isinstance(given, str) else json.dumps(given)
            path.write_text(text, encoding="utf-8")
    return folder


def tensor_file(values: Mapping[str, Any]) -> bytes:
    """A file of what metrics gave: nested lists of numbers as F32; a tuple is a list of values."""
    data, header = b"", {}

    def put(name: str, value: Any) -> Any:
        nonlocal data
        if isinstance(value, tuple):
            return [put(f"{name}[{place}]", part) for place, part in enumerate(value)]
        shape, numbers = [], value
        while isinstance(numbers, list) and numbers and isinstance(numbers[0], list):
            shape.append(len(numbers))
            numbers = [number for part in numbers for number in part]
        size = len(numbers)
        for length in shape:
            size //= length
        raw = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {
            "dtype": "F32",
            "shape": [*shape[:1], *shape[1:], size] if shape else [len(numbers)],
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
        return name

    forms = {name: put(name, value) for name, value in values.items()}
    told = json.dumps({"__metadata__": {"torchassistant": json.dumps(forms)}, **header}).encode()
    return len(told).to_bytes(8, "little") + told + data
