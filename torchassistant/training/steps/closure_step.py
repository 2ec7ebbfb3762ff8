"""A training step of an optimizer that computes the loss again and again, as LBFGS does."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchassistant.data import (
    generators_in,
    random_state,
    set_random_state,
    set_states_of,
    states_of,
)
from torchassistant.errors import DataError, UserError
from torchassistant.frames import Frames
from torchassistant.training.accumulation import Accumulation, Summand
from torchassistant.training.events import Batch, Listener, Parts, handlers_of
from torchassistant.training.losses.loss_denominators import or_one
from torchassistant.training.nan_guard import BatchNotFinite
from torchassistant.training.optimizer_calls import failure, parameters_of
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.stage import Stage
from torchassistant.training.steps.gradient_kinds import gradients_of
from torchassistant.training.steps.gradients import AccumulatedBatches, OneBatch
from torchassistant.training.steps.optimizer_update import OptimizerUpdate, clippers_within
from torchassistant.training.steps.part_gradients import PartGradients
from torchassistant.training.steps.train_step import TrainStep
from torchassistant.training.steps.undo import undo_of


class ClosureStep(TrainStep):
    """Trains a pipeline one of whose optimizers demands a closure.

    In short::

        the optimizer's step, with a closure, which is:
            zero the gradients of the pipeline's optimizers
            forward, losses, backward, of all batches of the step
            clippers
            the loss
        the other optimizers, by the gradients of the closure's last call; schedulers

    The optimizer sees one function: each further call begins with the random numbers and the
    buffers that the first one began with, and leaves those that the first one has left. Listeners
    hear of the first call, whose losses are reported; what the others take is the optimizer's. Who
    changes the gradients does so in each.
    """

    def made_of(
        self, stage: Stage, listeners: Sequence[Listener], parts: Parts
    ) -> tuple[OneBatch | AccumulatedBatches | PartGradients, OptimizerUpdate]:
        """See :class:`TrainStep`; the clippers act inside the closure."""
        self.clippers = clippers_within(self.pipeline, stage.clippers)
        self.first_call = _FirstCall(listeners)
        self.schedules = {
            item.shown_as: _OncePerStep(item.schedule.function)
            for item in self.pipeline.losses
            if item.schedule is not None
        }
        pipeline = self._with_one_weight_a_step() if self.schedules else self.pipeline
        gradients = gradients_of(pipeline, [self.first_call], parts, self.progress)
        if isinstance(gradients, AccumulatedBatches):
            gradients.begin = self._begin
        update = OptimizerUpdate(
            self.pipeline, (), stage.schedulers, self.losses.latest, parts, self._let_step
        )
        return gradients, update

    def start_epoch(self) -> None:
        """Look again for what draws random numbers, too."""
        super().start_epoch()
        self.generators = generators_in(self.pipeline.rng_holders)

    def perform(self, window: Sequence[Frames], numbers: range, iteration: int) -> int:
        """See :class:`TrainStep`."""
        for schedule in self.schedules.values():
            schedule.value = None
        self.compute = partial(self._compute, window, numbers, iteration)
        undo = undo_of(self.pipeline.optimizers, self.forward_state()) if self.skips else None
        try:
            self.update.run()
        except BatchNotFinite:
            if undo is None:
                raise
            self._leave_out(undo)
            return len(numbers)
        for handle in self.step_finished:
            handle(self.pipeline)
        return 0

    def _with_one_weight_a_step(self) -> Pipeline:
        """The pipeline with scheduled weights that all calls of a closure share."""
        losses = [
            item
            if item.schedule is None
            else replace(
                item, schedule=replace(item.schedule, function=self.schedules[item.shown_as])
            )
            for item in self.pipeline.losses
        ]
        return replace(self.pipeline, losses=losses)

    def _let_step(self, optimizer: Optimizer) -> None:
        """Let the optimizer step, and see that there is something to go on with.

        Raises:
            BatchNotFinite: The loss that it began with is not finite, or a weight that it ended
                with.
            DataError: It never called its closure.
        """
        closure = _Closure(self)
        try:
            optimizer.step(closure)  # type: ignore[arg-type]
        finally:
            closure.is_over = True
        what = f'the step of the optimizer "{self.pipeline.name_of(optimizer)}"'
        if closure.losses is None or closure.batch is None:
            raise DataError(
                f'{what}, in the pipeline "{self.pipeline.name}", has not called its closure'
            )
        if not all(bool(p.isfinite().all()) for p in parameters_of([optimizer])):
            raise BatchNotFinite(closure.batch, what)
        for values in closure.losses:
            self.add_losses(values)

    def _compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> Any:
        """Forward, losses, backward; clippers."""
        for zero in self.zeros:
            zero()
        for parameter in self.trained_elsewhere:
            parameter.requires_grad = False
        try:
            # What a batch has made is added to its frames, and each call makes its own.
            losses = self.gradients.compute(list(map(_copy, window)), numbers, iteration)
        finally:
            for parameter in self.trained_elsewhere:
                parameter.requires_grad = True
        try:
            for clipper in self.clippers:
                clipper()
        except UserError:
            raise
        except Exception as error:
            where = f', in the pipeline "{self.pipeline.name}"'
            raise failure("the clipping of gradients", error, where) from error
        return losses

    def _begin(self, *args: Any) -> Accumulation:
        self.accumulation = _WithValue(*args)
        return self.accumulation

    def value(self) -> Tensor:
        """What the last call has computed the gradients of: a scalar tensor."""
        if isinstance(self.gradients, PartGradients):
            return self.gradients.value
        if self.pipeline.accumulated > 1:
            return self.accumulation.value()
        return self.first_call.total


class _OncePerStep:
    """The weight of a loss, which its object is asked for once in each step.

    Args:
        function: Gives it.
    """

    def __init__(self, function: Callable[[int, int], Any]) -> None:
        self.function = function
        self.value: Any = None

    def __call__(self, step: int, epoch: int) -> Any:
        if self.value is None:
            self.value = self.function(step, epoch)
        return self.value


class _Closure:
    """What one step of an optimizer calls as often as it likes.

    Args:
        step: Whose.

    Attributes:
        losses: Of the first call; None before that.
        batch: The batch of the first call, without what it has made.
    """

    def __init__(self, step: ClosureStep) -> None:
        self.step = step
        self.began = _state_of_call(step)
        self.losses: Any = None
        self.batch: Batch | None = None
        self.is_over = False

    def __call__(self) -> Tensor:
        """The loss, a scalar without gradient; the gradients are with the parameters.

        Raises:
            BatchNotFinite: It is the first call, and a loss or a gradient is not finite.
        """
        if self.is_over:
            raise DataError("a closure is called after the step that it was made for")
        step = self.step
        with torch.enable_grad():
            if self.losses is None:
                step.first_call.is_on = True
                try:
                    self.losses = step.compute()
                finally:
                    step.first_call.is_on = False
                self.batch = step.first_call.batch
            else:
                with self._as_it_began():
                    step.compute()
        return step.value()

    @contextmanager
    def _as_it_began(self) -> Iterator[None]:
        put_back = _state_of_call(self.step)
        self.began()
        try:
            yield
        finally:
            put_back()


def _state_of_call(step: ClosureStep) -> Callable[[], None]:
    """Notes the random numbers, the buffers and what is carried on; puts them back."""
    restore_forward_state = step.forward_state()
    of_all, own = random_state(), states_of(step.generators)

    def put_back() -> None:
        restore_forward_state()
        set_random_state(of_all)
        set_states_of(step.generators, own)

    return put_back


class _FirstCall(Listener):
    """Tells of the losses and gradients of the first call of a closure.

    Args:
        listeners: To whom.

    Attributes:
        is_on: Whether this is the first call.
        batch: Of the last first call, without what it has made.
        total: What is minimised, of the last batch of any call, without gradient.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.of_losses = handlers_of(listeners, Listener.losses_computed)
        self.of_batches = handlers_of(listeners, Listener.batch_accumulated)
        self.of_gradients = handlers_of(listeners, Listener.gradients_computed)
        self.of_final = handlers_of(listeners, Listener.gradients_final)
        self.is_on = False
        self.batch: Batch | None = None
        self.total = torch.zeros(())

    def losses_computed(self, batch: Batch, total: Tensor) -> None:
        self.total = total.detach()
        for handle in self.of_losses if self.is_on else ():
            handle(batch, total)

    def batch_accumulated(self, pipeline: Any) -> None:
        for handle in self.of_batches if self.is_on else ():
            handle(pipeline)

    def gradients_computed(self, batch: Batch, total: Tensor) -> None:
        if self.is_on:
            self.batch = batch._replace(frames=Frames())
            for handle in self.of_gradients:
                handle(batch, total)

    def gradients_final(self, batch: Batch, total: Tensor) -> None:
        batch = batch if self.is_on else batch._replace(is_repeated=True)
        for handle in self.of_final:
            handle(batch, total)


class _WithValue(Accumulation):
    """Knows too what the gradients are those of: the mean over all batches."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.batches: list[list[tuple[Tensor, Any]]] = []

    def add(self, summands: Sequence[Summand]) -> dict[Hashable, Summand]:
        """See :class:`Accumulation`."""
        self.batches.append([(s.total.detach(), s.terms) for s in summands])
        return super().add(summands)

    def value(self) -> Tensor:
        """It, a scalar tensor."""
        return torch.stack([_mean(batches) for batches in zip(*self.batches, strict=True)]).sum()


def _mean(batches: Sequence[tuple[Tensor, Any]]) -> Tensor:
    """One loss over several batches, of which each is a sum over terms, and their number."""
    total = torch.stack([one for one, _ in batches]).sum()
    counts = [terms for _, terms in batches]
    if counts[0] is None:
        return total
    return total / or_one(sum(counts[1:], start=counts[0]))


def _copy(frames: Frames) -> Frames:
    return Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
