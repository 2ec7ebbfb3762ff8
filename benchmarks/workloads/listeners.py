"""Callbacks that listen to the end of every iteration, and do nothing: from 1 to 64 of them."""

from __future__ import annotations

from typing import TextIO

from benchmarks.alternation import (
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
from benchmarks.growth import growth
from benchmarks.plain import ByHand
from benchmarks.tasks import Config, Task, one_layer, part
from torchassistant.session import Session

COUNTS = (1, 4, 16, 64)
TARGET_US = 1.0
AGAINST = "the same loop by hand, in which nobody listens"


def measure(quick: bool) -> list[Figure]:
    """What a further callback costs that hears ``on_iteration_end``, per iteration."""
    rounds, counts = (2, COUNTS[:3]) if quick else (20, COUNTS)
    task = one_layer(160 if quick else 16_000)
    measured, identical = {}, True
    for count in counts:
        measured[count], is_same = _alternated(task, count, rounds)
        identical = identical and is_same
    what = f"a further callback that does nothing, {counts[0]} to {counts[-1]}"
    return growth(what, AGAINST, measured, identical, TARGET_US)


def _alternated(task: Task, count: int, rounds: int) -> tuple[Rounds, bool]:
    """The rounds, and whether both have ended with the same weights."""
    loops: list[ByHand] = []

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        loops.append(ByHand(task, models_of(session, task), seeds_of(session)))
        return {BARE: seconds_of(loops[0].epoch)}

    measured = Rounds(_heard(task.config(rounds + WARM_UP), count), others)
    return measured, same(measured.session, task.names, loops[0].modules)


def _heard(config: Config, count: int) -> Config:
    """The same, with so many callbacks."""
    names = [f"listens {number}" for number in range(count)]
    for name in names:
        definition = {"group": "callbacks", "name": name, "spec": part("Listens")}
        config["initialize"]["definitions"].append(definition)
    config["train"]["callbacks"] = names
    return config
