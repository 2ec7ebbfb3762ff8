"""The most memory that each of several processes holds, beside scripts with DDP by hand."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Figure, ratio
from benchmarks.memory import peaks
from benchmarks.processes import seconds_of, torchrun
from benchmarks.tasks import Task, lenet, made, part
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant import create_session

SCRIPT = "a script with DDP by hand"
EPOCHS = 2


def deep(examples: int, width: int) -> Task:
    """24 layers, whose weights, gradients and optimizer are what memory is for."""
    inner = [made("torch.nn.Linear", width, width), made("torch.nn.ReLU")] * 24
    layers = [made("torch.nn.Linear", 512, width), *inner, made("torch.nn.Linear", width, 1)]
    return Task(part("Examples", examples, 512), [made("torch.nn.Sequential", *layers)])


def measure(quick: bool) -> list[Figure]:
    """Of the process that holds most."""
    pairs, images, examples, width = (1, 320, 64, 64) if quick else (3, 3_200, 320, 1024)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), images)
        figures = _figures("LeNet-5", lenet(folder), pairs, 2)
    for count in (2, 4):
        figures += _figures("26 M weights", deep(examples, width), pairs, count)
    return figures


def _figures(what: str, task: Task, pairs: int, count: int) -> list[Figure]:
    theirs: list[float] = []
    sides: dict[str, list[float]] = {"ddp": [], "fsdp": []}
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            order = Path(folder, "order.json")
            said = {"task": asdict(task), "epochs": EPOCHS, "peaks": folder}
            order.write_text(json.dumps(said))
            theirs.append(_peak_of(torchrun(count, "benchmarks.ddp_by_hand", order), folder))
        for strategy, found in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                session = Path(folder, "session")
                config = {**task.config(EPOCHS), "distributed": {"strategy": strategy}}
                create_session(config, session, trust=["benchmarks"])
                train = torchrun(count, "benchmarks.rank_of_session", session, folder)
                found.append(_peak_of(train, folder))
    return [
        ratio(
            f"peak memory of a process, {what}, {count} processes, {strategy}",
            SCRIPT,
            found,
            theirs,
            sides="MiB",
            at_most=1.05 if strategy == "ddp" else None,
        )
        for strategy, found in sides.items()
    ]


def _peak_of(command: Sequence[str], folder: str) -> float:
    seconds_of(command)
    return max(peaks(folder)) / 2**20
