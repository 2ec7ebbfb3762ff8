"""Two processes on the CPU, beside loops by hand with DistributedDataParallel."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.alternation import OURS, WARM_UP
from benchmarks.figures import Figure, ratio
from benchmarks.processes import seconds_of, torchrun
from benchmarks.ranks import LOOP, LOOP_WITH_BAR
from benchmarks.tasks import Config, Task, lenet
from benchmarks.workloads import gan
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant import create_session

PROCESSES = 2


def measure(quick: bool) -> list[Figure]:
    """LeNet-5 and the GAN; a batch has 32 examples, of which each process has a half."""
    few, count, rounds = (320, 320, 2) if quick else (3_200, 6_400, 25)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), few)
        task = lenet(folder)
        figures = _figures("LeNet-5", task.config(rounds + WARM_UP), task)
    return figures + _figures(
        "GAN, two pipelines", gan.config(count, rounds + WARM_UP), None, count
    )


def _figures(what: str, config: Config, task: Task | None, count: int = 0) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        session, order, result = (Path(folder, n) for n in ("session", "order.json", "result.json"))
        create_session({**config, "distributed": {}}, session, trust=["benchmarks"])
        said: dict[str, Any] = {"session": str(session), "count": count, "result": str(result)}
        order.write_text(json.dumps({**said, "task": task and asdict(task)}))
        seconds_of(torchrun(PROCESSES, "benchmarks.ranks", order))
        found = json.loads(result.read_text())
    micro = {
        side: [seconds / found["iterations"] * 1e6 for seconds in values]
        for side, values in found["seconds"].items()
    }
    return [
        ratio(
            f"{what}, {PROCESSES} processes",
            name,
            micro[OURS],
            micro[name],
            sides="µs per iteration",
            at_most=1.02,
            identical=found["same"][name],
        )
        for name in (LOOP, LOOP_WITH_BAR)
    ]
