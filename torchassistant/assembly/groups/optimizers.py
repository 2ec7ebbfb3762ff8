"""Optimizers over the parameters of models and losses, each with its scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau, SequentialLR

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.parameter_groups import (
    check_options,
    parameter_groups,
    parameters_of_models,
)
from torchassistant.assembly.parts import Parts
from torchassistant.assembly.role_checks import takes_it_first
from torchassistant.config import LR_SCHEDULER
from torchassistant.graph import Models
from torchassistant.training import NO_FP16, Scheduler, is_by_closure


def _build(context: BuildContext, one: Defined) -> Optimizer:
    models = {name: context.trainable(name, (*one.path, *at)) for at, name in one.spec.models}
    optimizer = context.object_of(one, [_parameters(context, one, models)])
    made = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        message = f"{one.what} must be a torch.optim.Optimizer; found {made}"
        raise context.maker.problem(message, one.path)
    if context.spec.precision == "fp16" and is_by_closure(optimizer):
        raise context.maker.problem(f"{one.what}: {made} {NO_FP16}", one.path)
    check_options(context, one, optimizer)
    if one.spec.lr_scheduler:
        context.parts.schedulers[one.name] = _scheduler(context, one, optimizer)
    return optimizer


def _parameters(context: BuildContext, one: Defined, models: Models) -> Iterable[Any]:
    """What its class gets first."""
    if one.spec.parameters:
        return parameter_groups(context, one, models)
    if len(models) == 1:
        return next(iter(models.values())).parameters()
    return parameters_of_models(models)


def _scheduler(context: BuildContext, one: Defined, optimizer: Optimizer) -> Scheduler:
    def first_of(target: Any) -> Sequence[Any]:
        # Schedulers inside a scheduler get the optimizer first too, if they take it first.
        return [optimizer] if takes_it_first(LR_SCHEDULER, target) else []

    spec, path = one.spec.lr_scheduler, (*one.path, "lr_scheduler")
    what = f"the scheduler of {one.what}"
    warmup = spec.warmup and LinearLR(
        optimizer, start_factor=spec.warmup.start_factor, total_iters=spec.warmup.steps
    )
    scheduler = context.maker.make(spec, path, what, LR_SCHEDULER.name, [optimizer], first_of)
    if isinstance(scheduler, ReduceLROnPlateau) and spec.monitor is None:
        message = f'{what} monitors a result, so it needs "monitor", a display name'
        raise context.maker.problem(message, path)
    if warmup is not None:
        scheduler = SequentialLR(optimizer, [warmup, scheduler], milestones=[spec.warmup.steps])
    return Scheduler(one.name, optimizer, scheduler, spec.interval, spec.monitor)


def _members(parts: Parts, name: str) -> Iterator[Member]:
    optimizer, id = parts.optimizers[name], f"optimizers/{name}"
    # The state that is by parameter has a file of its own, and no generators.
    own = {key: value for key, value in vars(optimizer).items() if key != "state"}
    yield Member(id, own, stored=False)
    yield Member(id, optimizer, draws=False, stored=False)
    if name in parts.schedulers:
        yield Member(f"schedulers/{name}", parts.schedulers[name].scheduler, draws=False)


OPTIMIZERS = Assembler(_build, _members)
