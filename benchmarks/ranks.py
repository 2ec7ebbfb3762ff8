"""One of the processes that train a session and loops by hand in turn, started by torchrun.

The loop by hand is what everybody writes: DistributedDataParallel around each model that is
trained, and of each batch this process's half.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.alternation import (
    WARM_UP,
    Alternation,
    Other,
    models_of,
    same,
    seconds_of,
    seeds_of,
)
from benchmarks.halves import halves
from benchmarks.plain import ByHand
from benchmarks.tasks import Task, built
from benchmarks.terminal import terminal
from benchmarks.workloads.gan import GanByHand
from torchassistant import load_session
from torchassistant.parallel import connected, launched
from torchassistant.session import Session
from torchassistant.training import Progress, Reporter, Row

LOOP, LOOP_WITH_BAR = "a loop with DDP by hand", "the same, bar with running losses"

Loop = Callable[..., None]
"""An epoch: called with its number, and a stream where there is a bar."""

Names = Sequence[str]


def _loop_of(session: Session, said: Mapping[str, Any]) -> tuple[Loop, Names, Sequence[nn.Module]]:
    """An epoch by hand over copies of the models of a session; the models' names, and they."""
    if said["task"] is None:
        gan = GanByHand(session, said["count"], halves, DistributedDataParallel)
        return gan.epoch, list(gan.models), list(gan.models.values())
    task = Task(**said["task"])
    by_hand = ByHand(task, models_of(session, task))
    dataset = built(task.dataset)
    assert task.batch_size is not None, "its dataset gives examples"
    by_hand.batches = halves(dataset, task.batch_size, seeds_of(session))
    by_hand.predict = DistributedDataParallel(by_hand.modules[0])
    return by_hand.epoch, task.names, by_hand.modules


class Following(Reporter):
    """Takes its turns in a process that shows nothing.

    Args:
        others: By name.
        wait: Until all processes are here.
    """

    def __init__(self, others: Mapping[str, Other], wait: Callable[[], None]) -> None:
        self.others = list(others.items())
        self.wait = wait

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        self.wait()

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        for _, train in self.others:
            self.wait()
            train(progress.epoch - 1)
        self.others.append(self.others.pop(0))
        self.wait()


def main(order: str) -> None:
    """Train as a file says, and write down the seconds.

    Args:
        order: ``session``, its folder; ``task``, the arguments of a :class:`Task`, or None for the
            GAN; ``count``, its examples; ``result``, the file to write.
    """
    said = json.loads(Path(order).read_text())
    place = launched()
    assert place is not None, "torchrun has started it"
    with connected(place, 60) as processes, terminal() as stream:
        session = load_session(said["session"], trust=["benchmarks"], processes=processes)
        loops: dict[str, tuple[Loop, Names, Sequence[nn.Module]]] = {}
        for name in (LOOP, LOOP_WITH_BAR):
            loops[name] = _loop_of(session, said)
        others = {name: seconds_of(loop) for name, (loop, *_) in loops.items()}
        if not processes.is_first:
            session.train(Following(others, processes.wait), processes=processes)
            return
        others[LOOP_WITH_BAR] = seconds_of(loops[LOOP_WITH_BAR][0], stream)
        reporter = Alternation(stream, session, others, processes.wait)
        session.train(reporter, processes=processes)
        result = {
            "seconds": {name: values[WARM_UP:] for name, values in reporter.seconds.items()},
            "iterations": session.progress.step // session.progress.epoch,
            "same": {name: same(session, *loop[1:]) for name, loop in loops.items()},
        }
        Path(said["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
