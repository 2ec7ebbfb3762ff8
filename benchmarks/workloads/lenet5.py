"""LeNet-5 on files of MNIST's form, through torchvision's dataset."""

from __future__ import annotations

import json
import struct
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.alternation import against_loops, models_of, same, seeds_of
from benchmarks.figures import Figure, ratio
from benchmarks.plain import ByHand, load_weights, save_weights
from benchmarks.processes import by_hand, seconds_of, train_py
from benchmarks.tasks import Task, lenet
from torchassistant import create_session, load_session

EPOCHS = 3


def measure(quick: bool) -> list[Figure]:
    """Per iteration, and as a whole command."""
    few, many, rounds, pairs = (320, 320, 2, 1) if quick else (960, 3_200, 40, 5)
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        write_mnist(Path(small), few)
        write_mnist(Path(large), many)
        # Many short turns: the machine changes its pace within seconds.
        figures = against_loops(lenet(small), rounds, "LeNet-5", target=1.0)
        return [*figures, _whole_command(lenet(large), pairs)]


def write_mnist(folder: Path, count: int) -> None:
    """The training files of MNIST, with random images and labels."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "t10k"):
        images = torch.randint(256, (count, 28, 28), generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)


def write_idx(path: Path, values: Tensor) -> None:
    """Whole numbers from 0 to 255, in the format of MNIST's files."""
    unsigned_byte = 8
    head = struct.pack(f">HBB{values.ndim}I", 0, unsigned_byte, values.ndim, *values.shape)
    path.write_bytes(head + values.to(torch.uint8).numpy().tobytes())


def _whole_command(task: Task, pairs: int) -> Figure:
    ours, theirs, identical = [], [], True
    # The first pair warms up.
    for _ in range(pairs + 1):
        with tempfile.TemporaryDirectory() as folder:
            one, other, equal = _one_pair(task, Path(folder))
        ours.append(one)
        theirs.append(other)
        identical &= equal
    return ratio(
        f"LeNet-5, from command to {EPOCHS} epochs done",
        "a script by hand, with a bar",
        ours[1:],
        theirs[1:],
        sides="s",
        identical=identical,
    )


def _one_pair(task: Task, folder: Path) -> tuple[float, float, bool]:
    """The seconds of both, and whether they end with the same weights."""
    path, start, end, order = (folder / n for n in ("session", "start", "end", "order.json"))
    session = create_session(task.config(EPOCHS), path, trust=["benchmarks"])
    save_weights(models_of(session, task), start)
    seed_of = seeds_of(session)
    said = {"task": asdict(task), "epochs": EPOCHS, "start": str(start), "end": str(end)}
    order.write_text(json.dumps({**said, "seeds": [seed_of(epoch) for epoch in range(EPOCHS)]}))
    seconds = seconds_of(train_py(path)), seconds_of(by_hand(order))
    trained = ByHand(task)
    load_weights(trained.modules, end)
    session = load_session(path, trust=["benchmarks"])
    return *seconds, same(session, task.names, trained.modules)
