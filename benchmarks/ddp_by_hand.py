"""A process of a script with DDP by hand: ``torchrun … -m benchmarks.ddp_by_hand ORDER.json``.

It imports torch and nothing of TorchAssistant.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from benchmarks.halves import halves
from benchmarks.memory import note_peak
from benchmarks.plain import ByHand
from benchmarks.tasks import Task, built


def main(order: str) -> None:
    """Train as a file says, and write down the most memory that was held.

    Args:
        order: ``task``, the arguments of a :class:`Task` of one model; ``epochs``; ``peaks``, the
            folder for what is written down.
    """
    said = json.loads(Path(order).read_text())
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    task = Task(**said["task"])
    by_hand = ByHand(task)
    assert task.batch_size is not None, "its dataset gives examples"
    by_hand.batches = halves(built(task.dataset), task.batch_size, lambda epoch: epoch)
    by_hand.predict = DistributedDataParallel(by_hand.modules[0])
    for epoch in range(said["epochs"]):
        by_hand.epoch(epoch, sys.stderr)
    if dist.get_rank() == 0:
        by_hand.save(Path(said["peaks"], "state.safetensors"))
    note_peak(said["peaks"], dist.get_rank())
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
