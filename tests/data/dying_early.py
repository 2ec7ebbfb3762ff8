"""A process that is killed while its loader's worker starts; prints the worker's number first."""

from __future__ import annotations

import os
import signal
import threading
import time

import torch
from torch.utils.data import TensorDataset

from torchassistant.collators import StackTensors
from torchassistant.data import LoaderFactory
from torchassistant.data.workers import WorkerStart

START = WorkerStart.__call__


def slowly(self: WorkerStart, worker: int) -> None:
    """What a worker does first, on a machine that has no time for it."""
    print(os.getpid(), flush=True)
    time.sleep(1)
    START(self, worker)


WorkerStart.__call__ = slowly  # type: ignore[method-assign]
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
data = TensorDataset(torch.zeros(8, 1))
loader = LoaderFactory(data, StackTensors(), {"num_workers": 1}).for_training(0)
loader.start(0)
list(loader.batches())
