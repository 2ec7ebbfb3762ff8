"""A process with two workers, started in some way; prints their numbers, and waits.

Usage: ``outlived.py WAY STATE``, where WAY is a start method, or ``thread`` (by a thread that has
ended since), and STATE is ``idle`` or ``busy``.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchassistant.collators import StackTensors
from torchassistant.data import LoaderFactory

WAY, STATE = sys.argv[1:] if len(sys.argv) > 2 else ("", "")
kept: list[Any] = []


class Sleepy(Dataset[tuple[Tensor]]):
    """Its first two batches come at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[Tensor]:
        time.sleep(self.seconds if index >= 8 else 0)
        return (torch.zeros(1),)


def start() -> None:
    kwargs = {"batch_size": 4, "num_workers": 2, "persistent_workers": True}
    if WAY != "thread":
        kwargs["multiprocessing_context"] = WAY
    dataset = Sleepy(30 if STATE == "busy" else 0)
    loader = LoaderFactory(dataset, StackTensors(), kwargs).for_evaluation(0)
    loader.start(0)
    batches = loader.batches()
    next(batches)
    kept.extend([loader, batches])


if __name__ == "__main__":
    if WAY == "thread":
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        time.sleep(0.3)
    else:
        start()
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    time.sleep(60)
