"""LeNet-5 on files of MNIST's form, through torchvision's dataset."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.alternation import against_loops
from benchmarks.figures import Figure
from benchmarks.tasks import lenet


def measure(quick: bool) -> list[Figure]:
    """Per iteration."""
    images, rounds = (320, 2) if quick else (960, 40)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), images)
        # Many short turns: the machine changes its pace within seconds.
        return against_loops(lenet(folder), rounds, "LeNet-5", target=1.0)


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
