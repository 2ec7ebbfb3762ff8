"""Validations that a stage is too short for, and what listens to them in vain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torchassistant.config import Key
from torchassistant.graph import is_among
from torchassistant.session.preflight.findings import Findings
from torchassistant.stop_conditions import AllOf, AnyOf, EarlyStopping, TargetReached
from torchassistant.training import Stage, ends_of_epochs, iterations_of_stage


def warn_of_no_validation(stage: Stage, index: int, found: Findings) -> None:
    """Warn of validation pipelines that are never run, as the stage ends before."""
    length = _length_without_validation(stage)
    if stage.validation and length and not stage.validates.at_start:
        message = f"the validation pipelines are never run: this stage has {length}"
        found.warn(message, ("train", "stages", index, "validate"))


def check_what_listens(stage: Stage, index: int, found: Findings) -> None:
    """What monitors a result of validation hears of one, before the stage ends."""
    validated = {pipeline.name for pipeline in stage.validation}
    measured = [column for (name, _), column in stage.columns.items() if name in validated]
    length = _length_without_validation(stage) if measured else None
    for monitor in _monitors(stage.stop_condition) if length else ():
        if monitor in measured:
            found.add_problem(
                f'"{monitor}" is never measured in the {length} of this stage, with its "validate"',
                ("train", "stages", index, "stop_condition"),
            )
    used = [optimizer for p in stage.training for optimizer in p.optimizers]
    for name, scheduler in found.session.schedulers.items():
        is_used = scheduler.interval == "epoch" and is_among(scheduler.optimizer, used)
        if is_used and scheduler.monitor in measured and _is_never_at_an_end(stage):
            title = found.session.spec.stage_title(index)
            found.add_problem(
                f'"{scheduler.monitor}" is never measured at the end of an epoch with the '
                f'"validate" of {title}, and this scheduler steps only there',
                (*found.path_of(Key("optimizers", name)), "spec", "lr_scheduler", "monitor"),
            )


def _length_without_validation(stage: Stage) -> str | None:
    """How long a stage is that ends before its first validation after the start; else None."""
    plan, epochs = stage.validates, stage.num_epochs
    if epochs is None or (plan.every_epochs is not None and plan.every_epochs <= epochs):
        return None
    iterations = 0 if plan.every_iterations is None else iterations_of_stage(stage)
    if iterations is None or (
        plan.every_iterations is not None and plan.every_iterations <= iterations
    ):
        return None
    return f"{iterations} iterations" if iterations else f"{epochs} epochs"


def _is_never_at_an_end(stage: Stage) -> bool:
    """Whether no epoch of a stage of a known length ends with a validation."""
    plan, epochs = stage.validates, stage.num_epochs
    if epochs is None or (plan.every_epochs is not None and plan.every_epochs <= epochs):
        return False
    if plan.every_iterations is None:
        return True
    # Where epochs are of one length, ends of epochs meet validations within so many, or never.
    ends = list(islice(ends_of_epochs(stage), plan.every_iterations))
    is_known = len(ends) == min(epochs, plan.every_iterations)
    return is_known and not any(plan.is_due(end) for end in ends)


def _monitors(condition: Any) -> Iterator[str]:
    """What a stop condition of ours, and those in it, listen to."""
    if isinstance(condition, (AllOf, AnyOf)):
        for one in condition.conditions:
            yield from _monitors(one)
    elif isinstance(condition, (EarlyStopping, TargetReached)):
        yield condition.monitor
