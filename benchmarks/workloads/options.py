"""What options of the config win: the same work with a cache, a fused optimizer, compilation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from benchmarks.alternation import BARE, WARM_UP, Other, Rounds, models_of, seconds_of, seeds_of
from benchmarks.figures import Figure
from benchmarks.plain import ByHand
from benchmarks.tasks import Config, Task, lenet, one_layer
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant.session import Session

CACHE, FUSED, COMPILE = "cache", "fused", "compile"
OPTIONS: Sequence[Sequence[str]] = ((CACHE,), (CACHE, FUSED), (CACHE, FUSED, COMPILE))


def measure(quick: bool) -> list[Figure]:
    """One layer and LeNet-5, with more and more options.

    Each has its target where they are of most use: a compiled graph of one layer takes longer to
    enter than to compute.
    """
    examples, images, rounds = (320, 320, 2) if quick else (16_000, 960, 15)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), images)
        works = {
            "one layer": (one_layer(examples), (CACHE, FUSED), 0.6),
            "LeNet-5": (lenet(folder), (CACHE, FUSED, COMPILE), 0.85),
        }
        return [
            _measured(name, task, options, rounds, target if options == best else None)
            for name, (task, best, target) in works.items()
            for options in OPTIONS[: 1 if quick else None]
        ]


def _measured(
    name: str, task: Task, options: Sequence[str], rounds: int, target: float | None
) -> Figure:
    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        loop = ByHand(task, models_of(session, task), seeds_of(session))
        return {BARE: seconds_of(loop.epoch)}

    config = with_options(task.config(rounds + WARM_UP), options)
    what = f"{name}, with {', '.join(options)}"
    return Rounds(config, others).ratio(what, BARE, at_most=target)


def with_options(config: Config, options: Sequence[str]) -> Config:
    """A config whose dataset is cached, optimizer fused, pipeline compiled, as is asked for."""
    for definition in config["initialize"]["definitions"]:
        group, spec = definition["group"], definition["spec"]
        if group == "datasets" and CACHE in options:
            spec["cache"] = "memory"
        if group == "optimizers" and FUSED in options:
            spec["kwargs"]["fused"] = True
    if COMPILE in options:
        config["initialize"]["pipelines"]["fit"]["compile"] = True
    return config
