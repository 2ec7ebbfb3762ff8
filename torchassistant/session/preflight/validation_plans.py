"""Validations that a stage is too short for."""

from __future__ import annotations

from torchassistant.session.preflight.findings import Findings
from torchassistant.training import Stage, iterations_of_stage


def warn_of_no_validation(stage: Stage, index: int, found: Findings) -> None:
    """Warn of validation pipelines that are never run, as the stage ends before."""
    plan, epochs = stage.validates, stage.num_epochs
    if not stage.validation or plan.at_start or epochs is None:
        return
    if plan.every_epochs is not None and plan.every_epochs <= epochs:
        return
    iterations = 0 if plan.every_iterations is None else iterations_of_stage(stage)
    if iterations is None or (
        plan.every_iterations is not None and plan.every_iterations <= iterations
    ):
        return
    length = f"{iterations} iterations" if iterations else f"{epochs} epochs"
    message = f"the validation pipelines are never run: this stage has {length}"
    found.warn(message, ("train", "stages", index, "validate"))
