"""The turns of the training pipelines of a stage: in which iterations, and for how many steps."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST, SHORTEST = "longest", "shortest"

EpochLength = str | int
"""What ends an epoch: LONGEST, SHORTEST, the name of a pipeline, or a number of iterations."""


@dataclass(frozen=True, slots=True)
class Turn:
    """When a training pipeline runs, and how often.

    Args:
        repeat: Steps in each iteration in which it runs.
        every: It runs in iterations whose number is a multiple of this,
        first: and that is not less than this. Numbers count from 0,
        by_epoch: within the epoch, or else within the stage.
        restarts: Whether it begins a new pass over its data where one is done, or sits out.
    """

    repeat: int = 1
    every: int = 1
    first: int = 0
    by_epoch: bool = False
    restarts: bool = False

    def __str__(self) -> str:
        """In words, as ``5 steps in each iteration``."""
        steps = "1 step" if self.repeat == 1 else f"{self.repeat} steps"
        often = "each iteration" if self.every == 1 else f"one of {self.every} iterations"
        whole = "epoch" if self.by_epoch else "stage"
        since = f", from number {self.first} of the {whole} on" if self.first else ""
        return f"{steps} in {often}{since}{', restarts' if self.restarts else ''}"

    def is_in(self, number: int) -> bool:
        """Whether it runs in an iteration, by its number in the epoch or the stage."""
        return number >= self.first and number % self.every == 0

    def iterations_for(self, steps: int, begun: int) -> int:
        """How many iterations it takes to make so many steps.

        Args:
            steps: At least 1.
            begun: Iterations of the stage that are done before.
        """
        start = 0 if self.by_epoch else begun
        first = -(-max(self.first, start) // self.every) * self.every
        turns = -(-steps // self.repeat)
        return first - start + (turns - 1) * self.every + 1

    def steps_in(self, iterations: int, begun: int) -> int:
        """How many steps it makes in so many iterations, if its data lasts."""
        start = 0 if self.by_epoch else begun
        return self.repeat * (self._turns_before(start + iterations) - self._turns_before(start))

    def _turns_before(self, number: int) -> int:
        return max(0, -(-number // self.every) - -(-self.first // self.every))
