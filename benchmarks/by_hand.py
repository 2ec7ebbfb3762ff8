"""A script that trains by hand: ``python -m benchmarks.by_hand ORDER.json``.

It imports torch and nothing of TorchAssistant.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.plain import ByHand
from benchmarks.tasks import Task


def main(order: str) -> None:
    """Train as a file says: the task, the number of epochs, and where the weights are.

    Args:
        order: ``task``, the arguments of a :class:`Task`; ``epochs``; optional ``done``, how many
            of them are over; ``start`` and ``end``, files of the state before and after; ``seeds``,
            of the permutation of each epoch.
    """
    said = json.loads(Path(order).read_text())
    seeds = said.get("seeds")
    by_hand = ByHand(Task(**said["task"]), seed_of=seeds and seeds.__getitem__)
    if "start" in said:
        by_hand.load(said["start"])
    for epoch in range(said.get("done", 0), said["epochs"]):
        by_hand.epoch(epoch, sys.stderr)
    if "end" in said:
        by_hand.save(said["end"])


if __name__ == "__main__":
    main(sys.argv[1])
