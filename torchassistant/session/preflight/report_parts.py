"""What the report of a preflight says of stages, models and optimizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.optim import Optimizer

from torchassistant.session.preflight.findings import Findings
from torchassistant.session.preflight.modes import is_average
from torchassistant.session.preflight.report import FrozenReport, GroupReport, StageReport
from torchassistant.session.session import Session
from torchassistant.training import LONGEST, SHORTEST, Stage


def report_of_stage(stage: Stage, index: int, found: Findings) -> StageReport:
    """What a stage does with the models."""
    trained = [m for m in stage.trained if not stage.frozen.holds_all_of([*m.parameters()])]
    untrained = [
        model
        for model in stage.untrained
        if any(True for _ in model.parameters()) and not is_average(model, found.session)
    ]
    frozen = [
        FrozenReport(
            part.shown,
            sum(parameter.numel() for parameter in part.parameters),
            None if part.in_eval_mode is None else len(part.in_eval_mode),
        )
        for part in stage.frozen.parts
    ]
    turns = zip(stage.training, stage.all_turns, strict=True) if stage.takes_turns else ()
    return StageReport(
        found.session.spec.stage_title(index),
        found.names(trained),
        found.names(untrained),
        {pipeline.name: str(turn) for pipeline, turn in turns},
        frozen,
        list(_beginning(index, found.session)),
        _epoch(stage.epoch_length),
    )


def _epoch(length: int | str) -> str:
    """What an epoch is; empty where it is what it is in most configs."""
    if isinstance(length, int):
        return f"{length:,} iteration{'s' if length > 1 else ''}"
    if length == LONGEST:
        return ""
    return f"as long as {'the shortest pass' if length == SHORTEST else f'the pass of {length}'}"


def _beginning(index: int, session: Session) -> Iterator[str]:
    """What happens when a stage begins, as clauses."""
    spec = session.spec
    start = spec.train.stages[index].start_from
    if start is not None:
        source = spec.stage_title(spec.stage_index(start.stage))
        of = f" of {', '.join(start.models)}" if start.models else ""
        yield f"starts from the {start.checkpoint} state{of} in {source}"
    reset = spec.train.stages[index].reset
    if reset:
        yield f"resets {', '.join(reset)}"


def models_of_others(session: Session) -> Iterator[str]:
    """What each model is that is a part or an average of another."""
    for name, spec in session.spec.group("models").items():
        if spec.part_of:
            yield f"{name}: part of {spec.part_of} ({spec.path_})"
        elif spec.average_of:
            how = session.averages[name].averaging
            yield f"{name}: average of {spec.average_of} ({how})"


def parameter_groups(session: Session) -> dict[str, list[GroupReport]]:
    """The parameter groups of each optimizer."""
    return {name: _groups(o) for name, o in session.optimizers.items()}


def _groups(optimizer: Optimizer) -> list[GroupReport]:
    return [_group(group) for group in optimizer.param_groups]


def _group(group: dict[str, Any]) -> GroupReport:
    """A parameter group, with the learning rate that its scheduler begins from."""
    rate = group.get("initial_lr", group.get("lr"))
    options = {"lr": rate, "weight_decay": group.get("weight_decay")}
    return GroupReport(
        group.get("name"),
        sum(parameter.numel() for parameter in group["params"]),
        {key: float(value) for key, value in options.items() if value is not None},
    )
