"""How long it takes until something happens, and where that time goes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Figure, Spread, ratio
from benchmarks.processes import by_hand, phases_of, python, said_by, seconds_of, train_py
from benchmarks.tasks import Task, lenet, one_layer, part
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant import create_session

IMPORT_TORCH = python("-c", "import torch")
SCRIPT = "a script by hand: import torch, build the same objects, load a batch"


def measure(quick: bool) -> list[Figure]:
    """The help, and the way to the first forward of the first iteration."""
    pairs = 2 if quick else 7
    ours, theirs = _paired(python("train.py", "--help"), IMPORT_TORCH, pairs)
    against = 'python -c "import torch"'
    return [
        ratio("train.py --help", against, ours, theirs, sides="s", at_most=0.25),
        _first_iteration(pairs),
        *_phases(pairs),
    ]


def _phases(runs: int) -> list[Figure]:
    """Where the time of ``init.py`` and ``train.py`` goes, with LeNet-5."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), 320)
        config = Path(folder, "training.json")
        config.write_text(json.dumps(lenet(folder).config(1)))
        for run in range(runs + 1):
            path = str(Path(folder, f"session-{run}"))
            for name, seconds in json.loads(said_by(phases_of(str(config), path))).items():
                found.setdefault(name, []).append(seconds)
    return [
        Figure(what=f"LeNet-5, {name}", against="", spread=Spread.of(values[1:]), unit="s")
        for name, values in found.items()
    ]


def _first_iteration(pairs: int) -> Figure:
    task = Task(one_layer(3200).dataset, [part("Ending", 64, 1)])
    with tempfile.TemporaryDirectory() as folder:
        session = Path(folder, "session")
        # The model ends the process that calls it.
        create_session(task.config(1), session, trust=["benchmarks"], preflight=False)
        order = Path(folder, "order.json")
        order.write_text(json.dumps({"task": asdict(task), "epochs": 1}))
        ours, theirs = _paired(train_py(session), by_hand(order), pairs)
    return Figure(
        what="train.py, from command to first iteration",
        against=SCRIPT,
        spread=Spread.of(one - other for one, other in zip(ours, theirs, strict=True)),
        unit="s",
        ours=Spread.of(ours).median,
        theirs=Spread.of(theirs).median,
        sides="s",
        at_most=0.7,
    )


def _paired(
    one: Sequence[str], other: Sequence[str], pairs: int
) -> tuple[list[float], list[float]]:
    """Seconds of two commands in alternation; a first pair warms up."""
    measured = [(seconds_of(one), seconds_of(other)) for _ in range(pairs + 1)][1:]
    return [pair[0] for pair in measured], [pair[1] for pair in measured]
