"""When the validation pipelines of a stage are run, beside and within its epochs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValidationPlan:
    """After which epochs, and after which iterations, validation pipelines are run.

    Args:
        every_epochs: At the end of every so many epochs of the stage; None: at none.
        every_iterations: After every so many iterations of the stage; None: after none.
        at_start: Before the first iteration of the stage.
    """

    every_epochs: int | None = 1
    every_iterations: int | None = None
    at_start: bool = False

    @property
    def is_within_epochs(self) -> bool:
        """Whether it adds rows within epochs."""
        return self.at_start or self.every_iterations is not None

    def is_due(self, iterations: int) -> bool:
        """Whether it is due after so many iterations of the stage, whatever the epoch."""
        if not iterations:
            return self.at_start
        return self.every_iterations is not None and iterations % self.every_iterations == 0

    def is_due_at_end(self, epoch: int, iterations: int) -> bool:
        """Whether it is due at the end of an epoch of the stage, counted from 1."""
        by_epochs = self.every_epochs is not None and epoch % self.every_epochs == 0
        return by_epochs or self.is_due(iterations)
