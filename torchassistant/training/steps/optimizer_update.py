"""From gradients to new parameters: clipping, optimizers, and schedulers that step with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from torchassistant.compat.optimizers import mark_stepped
from torchassistant.errors import UserCodeError, UserError
from torchassistant.graph import distinct, is_among
from torchassistant.training.events import Part, Parts
from torchassistant.training.nan_guard import BatchNotFinite
from torchassistant.training.optimizer_calls import (
    Call,
    failure,
    is_by_closure,
    parameters_of,
    stepping,
)
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.schedulers import Scheduler, schedulers_at


@dataclass(frozen=True, slots=True, eq=False)
class GradientClipper:
    """Limits the gradients of models or of an optimizer: each value first, then their joint norm.

    Args:
        models: Whose gradients.
        optimizer: Or those of its parameters.
        clip_value: Largest absolute value of one element.
        clip_norm: Largest L2 norm over all parameters (Pascanu et al., 2013).
        left_out: The ``id`` of each parameter of the models whose gradient is not new.
    """

    models: Sequence[nn.Module]
    optimizer: Optimizer | None = None
    clip_value: float | None = None
    clip_norm: float | None = None
    left_out: Collection[int] = ()

    def within(self, pipeline: Pipeline) -> GradientClipper | None:
        """The same for what a pipeline trains, whose gradients are new; None where it is nothing.

        Args:
            pipeline: Its models and optimizers are looked at.
        """
        trained = pipeline.trained
        models = [model for model in self.models if is_among(model, trained)]
        if models:
            return replace(self, models=models, left_out={*map(id, pipeline.left_out)})
        is_used = self.optimizer is not None and is_among(self.optimizer, pipeline.optimizers)
        return self if is_used else None

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those whose gradients it limits; what models share counts once."""
        if self.optimizer is not None:
            return (p for group in self.optimizer.param_groups for p in group["params"])
        if len(self.models) == 1 and not self.left_out:
            return self.models[0].parameters()
        found = distinct(p for model in self.models for p in model.parameters())
        return (p for p in found if id(p) not in self.left_out)

    def __call__(self) -> None:
        if self.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.parameters(), self.clip_value)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.clip_norm)


def clippers_within(
    pipeline: Pipeline, clippers: Iterable[GradientClipper]
) -> list[GradientClipper]:
    """Those that limit gradients of a pipeline."""
    own = (clipper.within(pipeline) for clipper in clippers)
    return [clipper for clipper in own if clipper is not None]


class OptimizerUpdate:
    """Changes what a pipeline trains, by the gradients that are there.

    Args:
        pipeline: Which one.
        clippers: Those of its trained models and of its optimizers are used.
        schedulers: Those of its optimizers that step with them are used.
        latest: Gives a loss of the last batch by its display name, for schedulers.
        parts: Puts events around each optimizer's step.
        by_closure: Lets an optimizer that demands a closure step; None where there is none.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clippers: Sequence[GradientClipper],
        schedulers: Sequence[Scheduler],
        latest: Callable[[str], float],
        parts: Parts,
        by_closure: Callable[[Optimizer], None] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.optimizers = pipeline.optimizers
        self.scaler = pipeline.scaler
        self.by_closure = by_closure
        if by_closure is not None:
            # The gradients that the others step by are those of its last call.
            self.optimizers.sort(key=lambda optimizer: not is_by_closure(optimizer))
        self.clippers = clippers_within(pipeline, clippers)
        self.schedulers = schedulers_at("step", schedulers, self.optimizers)
        self.latest = latest
        self.parts = parts
        self.start_epoch()

    def start_epoch(self) -> None:
        """Look at the optimizers again: they may have got parameters, or hooks, meanwhile."""
        self.steps = [
            (optimizer, self.parts.around(self._step_of(optimizer), Part.OPTIMIZER, name))
            for optimizer in self.optimizers
            for name in [self.pipeline.name_of(optimizer)]
        ]

    def run(self) -> None:
        """Clippers, optimizers, schedulers, in this order.

        Raises:
            DataError: One of them cannot do its part with these parameters.
            UserCodeError: One is the user's, and raised.
        """
        at: GradientClipper | Optimizer | Scheduler | None = None
        try:
            for clipper in self.clippers:
                at = clipper
                clipper()
            for optimizer, step in self.steps:
                at = optimizer
                step()
            if self.scaler is not None:
                self.scaler.update()
            for item in self.schedulers:
                at = item
                if item.monitor is None:
                    item.scheduler.step()
                else:
                    item.scheduler.step(self.latest(item.monitor))
        except (UserError, UserCodeError, BatchNotFinite):
            raise
        except Exception as error:
            where = f', in the pipeline "{self.pipeline.name}"'
            raise failure(self._described(at), error, where) from error

    def _step_of(self, optimizer: Optimizer) -> Call:
        frozen = self.pipeline.graph.frozen
        # A scaler takes offence at an optimizer without any gradient, which does nothing.
        is_idle = frozen.holds_all_of(parameters_of([optimizer]))
        if self.by_closure is not None and is_by_closure(optimizer):
            step: Call = partial(self.by_closure, optimizer)
        elif self.scaler is None or is_idle:
            step = stepping(optimizer)
        else:
            step = partial(_scaled_step, self.scaler, optimizer)
        if _spares_what_has_no_gradient(optimizer):
            return step
        held = frozen.among(parameters_of([optimizer]))
        return partial(_sparing_step, step, held) if held else step

    def _described(self, part: GradientClipper | Optimizer | Scheduler | None) -> str:
        if isinstance(part, Scheduler):
            return str(part)
        if isinstance(part, Optimizer):
            return f'the step of the optimizer "{self.pipeline.name_of(part)}"'
        return "the clipping of gradients"


def _spares_what_has_no_gradient(optimizer: Optimizer) -> bool:
    """Whether a step surely changes no parameter that has no gradient; LBFGS goes by its past."""
    of_torch = type(optimizer).__module__.startswith("torch.optim.")
    return of_torch and not isinstance(optimizer, LBFGS)


def _sparing_step(step: Call, parameters: Sequence[torch.Tensor]) -> None:
    copies = [parameter.detach().clone() for parameter in parameters]
    step()
    with torch.no_grad():
        for parameter, copy in zip(parameters, copies, strict=True):
            parameter.copy_(copy)


def _scaled_step(scaler: torch.amp.GradScaler, optimizer: Optimizer) -> None:
    scaler.step(optimizer)
    # Schedulers would warn where the first steps are left out for their scale.
    mark_stepped(optimizer)
