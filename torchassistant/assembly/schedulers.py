"""Learning rate schedulers, and ``"auto"``: as long as the stage in which they begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau, SequentialLR

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.monitored_modes import may_need_mode, with_mode
from torchassistant.assembly.role_checks import takes_it_first
from torchassistant.config import LR_SCHEDULER, Path, SchedulerSpec, lengths_in, with_length
from torchassistant.data import derived, seeded
from torchassistant.graph import is_among
from torchassistant.training import Scheduler, Stage, steps_of_optimizer


def waits_for_stages(spec: SchedulerSpec) -> bool:
    """Whether a scheduler can be built only when the stages are, and what it may monitor."""
    return _has_auto(spec) or may_need_mode(spec)


def _has_auto(spec: SchedulerSpec) -> bool:
    return any(True for _ in lengths_in([spec.args, spec.kwargs]))


def scheduler_of(
    context: BuildContext, one: Defined, optimizer: Optimizer, stage: int = 0
) -> Scheduler:
    """The scheduler of an optimizer, at its beginning.

    Args:
        context: Makes objects, and holds the stages where the scheduler waits for them.
        one: The optimizer's definition; it has a scheduler.
        optimizer: What it has become, or a new one that is to begin in its place.
        stage: The index of the first stage in which the scheduler may begin; it begins in the
            first from there on that uses the optimizer.

    Raises:
        ConfigError: It cannot be built; or its length is that of a stage, which is not known.
        UserCodeError: The user's code raised.
    """

    def first_of(target: Any) -> Sequence[Any]:
        # Schedulers inside a scheduler get the optimizer first too, if they take it first.
        return [optimizer] if takes_it_first(LR_SCHEDULER, target) else []

    spec, path = one.spec.lr_scheduler, (*one.path, "lr_scheduler")
    what = f"the scheduler of {one.what}"
    described = spec
    if _has_auto(spec):
        described = _with_length(context, one, stage)
    if may_need_mode(spec):
        described = with_mode(context, described, path, spec.monitor)
    warmup = spec.warmup and LinearLR(
        optimizer, start_factor=spec.warmup.start_factor, total_iters=spec.warmup.steps
    )
    scheduler = context.maker.make(described, path, what, LR_SCHEDULER.name, [optimizer], first_of)
    if isinstance(scheduler, ReduceLROnPlateau) and spec.monitor is None:
        message = f'{what} monitors a result, so it needs "monitor", a display name'
        raise context.maker.problem(message, path)
    if warmup is not None:
        scheduler = SequentialLR(optimizer, [warmup, scheduler], milestones=[spec.warmup.steps])
    return Scheduler(one.name, optimizer, scheduler, spec.interval, spec.monitor)


def build_waiting(context: BuildContext, optimizers: Sequence[Defined]) -> None:
    """The schedulers that waited for the stages, which get them.

    Raises:
        ConfigError: As :func:`scheduler_of`.
        UserCodeError: The user's code raised.
    """
    parts = context.parts
    found = {
        one.name: scheduler_of(context, one, parts.optimizers[one.name])
        for one in optimizers
        if one.spec.lr_scheduler and waits_for_stages(one.spec.lr_scheduler)
    }
    if found:
        parts.schedulers |= found
        schedulers = list(parts.schedulers.values())
        parts.stages = [replace(stage, schedulers=schedulers) for stage in parts.stages]


def expect_lengths_of_resets(context: BuildContext, optimizers: Sequence[Defined]) -> None:
    """See that the length is known of each stage in which a scheduler begins anew.

    Raises:
        ConfigError: One is not.
    """
    for index, stage in enumerate(context.spec.train.stages):
        for one in optimizers:
            scheduler = one.spec.lr_scheduler
            if f"schedulers.{one.name}" in stage.reset and _has_auto(scheduler):
                _with_length(context, one, index)


def _with_length(context: BuildContext, one: Defined, stage: int) -> SchedulerSpec:
    """What the config says, with a number in the place of each ``"auto"``."""
    spec: SchedulerSpec = one.spec.lr_scheduler
    path, optimizer = (*one.path, "lr_scheduler"), context.parts.optimizers[one.name]
    place = next(where for where, _ in lengths_in({"args": spec.args, "kwargs": spec.kwargs}))
    length = _length(context, spec, (*path, *place), optimizer, stage)
    args, kwargs = with_length(spec.args, length), with_length(spec.kwargs, length)
    return spec.model_copy(update={"args": args, "kwargs": kwargs})


def _length(
    context: BuildContext, spec: SchedulerSpec, path: Path, optimizer: Optimizer, first: int
) -> int:
    """The steps or epochs of the stage, less those of the warmup."""
    problem, stages = context.maker.problem, context.parts.stages
    index = _first_stage(stages, optimizer, first)
    if index is None:
        raise problem('"auto" is the length of a stage, and none uses this optimizer', path)
    title = context.spec.stage_title(index)
    if stages[index].num_epochs is None:
        message = (
            f'"auto" is the length of {title}, whose stop condition does not say after how many '
            "epochs it ends; write a number, or let EpochsCompleted end it at the latest"
        )
        raise problem(message, path)
    with seeded(derived(context.parts.seed, "length")):
        whole = _whole(stages[index], optimizer, spec.interval)
    if whole is None:
        message = (
            f'"auto" is the number of steps in {title}, which is not known, as a dataset does not '
            "say how long it is; write a number"
        )
        raise problem(message, path)
    before = spec.warmup.steps if spec.warmup else 0
    if whole <= before:
        unit = "epochs" if spec.interval == "epoch" else "steps of this optimizer"
        message = f'nothing is left for "auto": {title} has {whole} {unit}'
        raise problem(f"{message}, and the warmup takes {before}", path)
    return whole - before


def _first_stage(stages: Sequence[Stage], optimizer: Optimizer, first: int) -> int | None:
    for index in range(first, len(stages)):
        stage = stages[index]
        if any(is_among(optimizer, pipeline.optimizers) for pipeline in stage.training):
            return index
    return None


def _whole(stage: Stage, optimizer: Optimizer, interval: str) -> int | None:
    return stage.num_epochs if interval == "epoch" else steps_of_optimizer(stage, optimizer)
