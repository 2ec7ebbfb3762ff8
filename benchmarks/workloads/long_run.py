"""The last epochs of a long run, beside its first ones."""

from __future__ import annotations

from typing import TextIO

from benchmarks.alternation import (
    BARE,
    OURS,
    WARM_UP,
    Other,
    Rounds,
    models_of,
    seconds_of,
    seeds_of,
)
from benchmarks.figures import Figure, ratio
from benchmarks.plain import ByHand
from benchmarks.tasks import one_layer
from torchassistant.session import Session

NEVER = 10**6


def measure(quick: bool) -> list[Figure]:
    """An iteration, and what is between epochs; the history has as many rows as epochs are done."""
    epochs, some = (24, 6) if quick else (2_000, 100)
    task = one_layer(640)

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        return {BARE: seconds_of(ByHand(task, models_of(session, task), seeds_of(session)).epoch)}

    measured = Rounds(task.config(epochs + WARM_UP, checkpoints={"every_epochs": NEVER}), others)
    # The loop by hand goes on beside it, and takes out what the machine does meanwhile.
    sides = zip(measured.seconds[OURS], measured.seconds[BARE], strict=True)
    relative = [ours / theirs for ours, theirs in sides]
    between = [seconds * 1e3 for seconds in measured.boundaries]
    late, early = f"epochs {epochs - some + 1} to {epochs}", f"epochs 1 to {some}"
    return [
        ratio(
            f"iterations in {late}, each over the loop by hand",
            early,
            relative[-some:],
            relative[:some],
        ),
        ratio(
            f"between epochs, {late}, no checkpoint due",
            early,
            between[-some:],
            between[:some],
            sides="ms",
        ),
    ]
