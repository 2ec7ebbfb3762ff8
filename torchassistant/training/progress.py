"""How far a run has come, and the request to stop it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Row = dict[str, int | float]
"""One row of the history: epoch, step, the display names, seconds."""


@dataclass(slots=True)
class Progress:
    """How far a run has come. Epochs and steps that are counted here are done.

    Args:
        stage: The index of the stage at hand; past the last one when the run is finished.
        epoch: Epochs over all stages.
        step: Iterations over all stages.
        stage_epoch: Epochs of the stage at hand.
        stage_step: Iterations of the stage at hand.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    stage_epoch: int = 0
    stage_step: int = 0

    def next_stage(self) -> None:
        """The stage at hand is done."""
        self.stage += 1
        self.stage_epoch = 0
        self.stage_step = 0


class StageHistory(list[Row]):
    """The rows of one stage; ``iterations`` is the number of iterations done in it."""

    def __init__(self, rows: Iterable[Row] = (), iterations: int = 0) -> None:
        super().__init__(rows)
        self.iterations = iterations


class StopRequest:
    """Asks a running stage to stop after the iteration at hand.

    ``signum`` is None until a signal handler, or another thread, sets it.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
