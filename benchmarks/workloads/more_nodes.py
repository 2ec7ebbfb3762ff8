"""A graph that grows from 1 node to 64, against as many calls by hand."""

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
from benchmarks.tasks import Task, nodes
from torchassistant.session import Session

NODES = (1, 2, 4, 8, 16, 32, 64)
TARGET_US = 5.0
AGAINST = "a further call of the same module by hand"


def measure(quick: bool) -> list[Figure]:
    """With one optimizer, where hardly anything but the calls grows, and with one for each."""
    examples, rounds = (160, 2) if quick else (1_600, 10)
    counts = NODES[:3] if quick else NODES
    figures = []
    for shown, trained in [("the first trained", 1), ("each with an optimizer", None)]:
        tasks = {count: nodes(count, examples, trained, "SGD") for count in counts}
        measured = {count: _alternated(task, rounds) for count, task in tasks.items()}
        figures += growth(
            f"a further node, {counts[0]} to {counts[-1]}, {shown}",
            AGAINST,
            {count: each for count, (each, _) in measured.items()},
            all(identical for _, identical in measured.values()),
            TARGET_US,
        )
    return figures


def _alternated(task: Task, rounds: int) -> tuple[Rounds, bool]:
    """The rounds, and whether both have ended with the same weights."""
    loops: list[ByHand] = []

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        loops.append(ByHand(task, models_of(session, task), seeds_of(session)))
        return {BARE: seconds_of(loops[0].epoch)}

    measured = Rounds(task.config(rounds + WARM_UP), others)
    return measured, same(measured.session, task.names, loops[0].modules)
