"""Other systems at the same work, all in one process, an epoch of each in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from benchmarks.alternation import (
    BAR,
    BARE,
    WARM_UP,
    Other,
    Rounds,
    models_of,
    same,
    seconds_of,
    seeds_of,
)
from benchmarks.figures import Figure
from benchmarks.plain import ByHand
from benchmarks.tasks import Task, lenet, one_layer
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant.session import Session

PEERS = {
    "lightning": "WithLightning",
    "ignite": "WithIgnite",
    "argus": "WithArgus",
    "accelerate": "WithAccelerate",
}
SHOWN = {
    "lightning": "Lightning, its default bar and logging",
    "ignite": "Ignite, its bar with a running loss",
    "accelerate": "Accelerate, bar with running loss",
}


def missing() -> str | None:
    """What is not installed."""
    names = [name for name in PEERS if find_spec(name) is None]
    return f"not installed: {', '.join(names)} (make bench-peers installs them)" if names else None


def measure(quick: bool) -> list[Figure]:
    """One layer, and LeNet-5."""
    examples, images, rounds = (640, 320, 2) if quick else (16_000, 1_600, 12)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), images)
        tasks = {"one layer": one_layer(examples), "LeNet-5": lenet(folder)}
        return [figure for what, task in tasks.items() for figure in _measured(what, task, rounds)]


def _measured(what: str, task: Task, rounds: int) -> list[Figure]:
    given: dict[str, ByHand] = {}

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        def fresh(name: str) -> ByHand:
            given[name] = ByHand(task, models_of(session, task), seeds_of(session))
            return given[name]

        return {
            BARE: seconds_of(fresh(BARE).epoch),
            BAR: seconds_of(fresh(BAR).epoch, stream),
            **_peers(fresh, stream),
        }

    measured = Rounds(task.config(rounds + WARM_UP), others)
    # The same weights everywhere: everybody has done the same work.
    return [
        measured.ratio(what, name, identical=same(measured.session, task.names, it.modules))
        for name, it in given.items()
    ]


def _peers(fresh: Callable[[str], ByHand], stream: TextIO) -> dict[str, Other]:
    """Each as bare as it can be, and as it is by default."""
    others: dict[str, Other] = {}
    for name, class_name in PEERS.items():
        peer = getattr(import_module(f"benchmarks.peers.with_{name}"), class_name)
        bare = f"{name.capitalize()}, nothing shown"
        others[bare] = peer(fresh(bare), None).epoch
        if name in SHOWN:
            others[SHOWN[name]] = peer(fresh(SHOWN[name]), stream).epoch
    return others
