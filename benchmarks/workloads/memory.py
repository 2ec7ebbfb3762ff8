"""The most memory that a whole run holds."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Figure, ratio
from benchmarks.processes import by_hand, many_by_hand, peak_of, train_py
from benchmarks.tasks import Task, lenet, made, nodes, one_layer, part
from benchmarks.workloads.lenet5 import write_mnist
from benchmarks.workloads.more_pipelines import config
from torchassistant import create_session

SCRIPT = "a script by hand, with a bar"
EPOCHS = 2


def measure(quick: bool) -> list[Figure]:
    """Of ``train.py`` and of a script."""
    pairs, examples, images = (1, 320, 320) if quick else (3, 6_400, 3_200)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), images)
        tasks = {
            "one layer": one_layer(examples),
            "LeNet-5": lenet(folder),
            "ten nodes": nodes(10, examples),
        }
        figures = [_measured(name, task, pairs) for name, task in tasks.items()]
    width = 256 if quick else 4096
    large = Task(part("Examples", 8, width, width), [part("Layers", 6, width)], batch_size=4)
    outputs = 2**10 if quick else 2**17
    wide = Task(
        part("Examples", 128, 16, outputs), [made("torch.nn.Linear", 16, outputs)], validated=True
    )
    return [
        *figures,
        _measured("100 M parameters and Adam, saved after each epoch", large, pairs),
        _measured("outputs of 16 MB a batch, validated after each epoch", wide, pairs),
        _of_loaders(4 if quick else 64, examples, pairs),
    ]


def _of_loaders(count: int, examples: int, pairs: int) -> Figure:
    ours, theirs = [], []
    names = [f"fit_{i}" for i in range(count)]
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            session = Path(folder, "session")
            create_session(config(names, examples, EPOCHS), session, trust=["benchmarks"])
            ours.append(peak_of(train_py(session)) / 2**20)
            theirs.append(peak_of(many_by_hand(count, examples, EPOCHS)) / 2**20)
    what = f"peak memory, {count} pipelines, each with a loader"
    return ratio(what, SCRIPT, ours, theirs, sides="MiB", at_most=1.05)


def _measured(name: str, task: Task, pairs: int) -> Figure:
    ours, theirs = [], []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            session, order = Path(folder, "session"), Path(folder, "order.json")
            create_session(task.config(EPOCHS), session, trust=["benchmarks"])
            order.write_text(json.dumps({"task": asdict(task), "epochs": EPOCHS}))
            ours.append(peak_of(train_py(session)) / 2**20)
            theirs.append(peak_of(by_hand(order)) / 2**20)
    return ratio(f"peak memory, {name}", SCRIPT, ours, theirs, sides="MiB", at_most=1.05)
