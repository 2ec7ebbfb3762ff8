"""Optimizers over the parameters of models and losses, each with its scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch.optim import Optimizer

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.parameter_groups import (
    check_options,
    parameter_groups,
    parameters_of_models,
)
from torchassistant.assembly.parts import Parts
from torchassistant.assembly.schedulers import scheduler_of, waits_for_stages
from torchassistant.graph import Models
from torchassistant.training import NO_FP16, is_by_closure


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
    if one.spec.lr_scheduler and not waits_for_stages(one.spec.lr_scheduler):
        context.parts.schedulers[one.name] = scheduler_of(context, one, optimizer)
    return optimizer


def _parameters(context: BuildContext, one: Defined, models: Models) -> Iterable[Any]:
    """What its class gets first."""
    if one.spec.parameters:
        return parameter_groups(context, one, models)
    if len(models) == 1:
        return next(iter(models.values())).parameters()
    return parameters_of_models(models)


def _members(parts: Parts, name: str) -> Iterator[Member]:
    optimizer, id = parts.optimizers[name], f"optimizers/{name}"
    # The state that is by parameter has a file of its own, and no generators.
    own = {key: value for key, value in vars(optimizer).items() if key != "state"}
    yield Member(id, own, stored=False)
    yield Member(id, optimizer, draws=False, stored=False)
    if name in parts.schedulers:
        yield Member(f"schedulers/{name}", parts.schedulers[name].scheduler, draws=False)


OPTIMIZERS = Assembler(_build, _members)
