"""Steps of the user's own: an object is called with each batch, and all around it stays ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchassistant.errors import DataError, UserCodeError, UserError, listing, near
from torchassistant.frames import Frame, Frames
from torchassistant.graph import buffers_of
from torchassistant.training.events import (
    Batch,
    Listener,
    Parts,
    gradient_handlers_of,
    handlers_of,
)
from torchassistant.training.losses.running_losses import RunningLosses
from torchassistant.training.losses.running_mean import RunningMean
from torchassistant.training.nan_guard import BatchNotFinite
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.pipeline import Pipeline, StepObject
from torchassistant.training.schedulers import schedulers_at
from torchassistant.training.stage import Stage
from torchassistant.training.steps.averaging_update import noting_steps
from torchassistant.training.steps.gradients import AccumulatedBatches, Backward, OneBatch
from torchassistant.training.steps.optimizer_update import OptimizerUpdate, clippers_within
from torchassistant.training.steps.part_gradients import PartGradients
from torchassistant.training.steps.part_step import PartStep
from torchassistant.training.steps.step_events import EvalStepEvent, TrainStepEvent
from torchassistant.training.steps.train_step import TrainStep
from torchassistant.training.steps.undo import undo_of

Returned = tuple[str, Tensor, int]
"""A loss: its display name, its value, the number of examples that it is a mean over."""


class OwnStep(TrainStep):
    """Trains a pipeline by an object that is called with each batch.

    In short::

        without gradients for the parameters that other pipelines train:
            train_step(event)
            where it calls event.backward(loss): the loss is looked at; backward
            where it calls event.step(optimizer): the gradients are looked at;
                clippers, optimizer, scheduler
        models that the pipeline does not train have their buffers again
        add the losses that it returned to the running ones

    Gradients are left as they are between steps, so that it may add them up by hand.
    """

    def made_of(
        self, stage: Stage, listeners: Sequence[Listener], parts: Parts
    ) -> tuple[OneBatch | AccumulatedBatches | PartGradients, OptimizerUpdate]:
        """See :class:`TrainStep`; clippers and schedulers act where an optimizer steps."""
        pipeline = self.pipeline
        assert pipeline.train_step is not None, "it is chosen where there is one"
        self.own = pipeline.train_step
        self.losses = _ReturnedLosses(pipeline)
        self.clippers = clippers_within(pipeline, stage.clippers)
        self.schedulers = {
            id(optimizer): schedulers_at("step", stage.schedulers, [optimizer])
            for optimizer in pipeline.optimizers
        }
        self.losses_computed = handlers_of(listeners, Listener.losses_computed)
        self.gradients_computed = gradient_handlers_of(listeners)
        self.backward = Backward(pipeline, parts)
        self.optimizers = {pipeline.optimizer_names[id(o)]: o for o in pipeline.optimizers}
        self.functions = _functions_of(pipeline)
        self.is_still = [
            node.model
            for node in pipeline.graph.nodes
            if node.calling.keeps(any(node.model is one for one in pipeline.trained))
        ]
        self.averages = {
            id(optimizer): [
                average
                for average in stage.averages
                if average.averaging.interval == "step"
                and average.is_trained_by([optimizer], pipeline.graph.frozen)
            ]
            for optimizer in pipeline.optimizers
        }
        world = pipeline.world
        self.shared = None if world is None else PartStep(pipeline, world, self.progress)
        gradients = OneBatch(pipeline, (), Parts(()), self.progress)
        self.optimizer_update = OptimizerUpdate(pipeline, (), (), self.losses.latest, parts)
        return gradients, self.optimizer_update

    def perform(self, window: Sequence[Frames], numbers: range, iteration: int) -> int:
        """See :class:`TrainStep`."""
        (frames,) = window
        call = _Call(self, frames, numbers, iteration)
        restore_buffers = buffers_of(self.is_still)
        undo = self._undo() if self.skips else None
        if self.shared is not None:
            self.shared.start(frames)
        for parameter in self.trained_elsewhere:
            parameter.requires_grad = False
        try:
            losses, columns = returned(
                self.pipeline, "train_step", self.own, call.event(), _examples_in(frames)
            )
            if self.shared is not None:
                losses = self.shared.whole(losses)
            call.finish(losses)
        except BatchNotFinite:
            if undo is None:
                raise
            undo()
            return 1
        finally:
            for parameter in self.trained_elsewhere:
                parameter.requires_grad = True
        restore_buffers()
        if self.shared is not None:
            self.shared.finish()
        self.add_losses([(name, "", value, count) for name, value, count in losses])
        self.gradients.frames = with_columns(self.pipeline, frames, columns)
        call.let_listeners_step()
        for handle in self.step_finished:
            handle(self.pipeline)
        return 0

    def _undo(self) -> Callable[[], None]:
        """Notes what the step changes, gradients of earlier batches too; puts that back."""
        optimizers = self.pipeline.optimizers
        averages = list({id(a): a for own in self.averages.values() for a in own}.values())
        undo = undo_of(optimizers, self.forward_state(), [self.own.function, *averages])
        tensors = [t for a in averages for t in (*a.model.parameters(), *a.model.buffers())]
        copies = [tensor.detach().clone() for tensor in tensors]
        gradients = [
            (parameter, None if parameter.grad is None else parameter.grad.clone())
            for parameter in parameters_of(optimizers)
        ]

        def with_gradients() -> None:
            undo()
            with torch.no_grad():
                for tensor, copy in zip(tensors, copies, strict=True):
                    tensor.copy_(copy)
            for parameter, gradient in gradients:
                parameter.grad = gradient

        return with_gradients


class _Call:
    """What an event of one batch does.

    Args:
        step: Whose.
        frames: Of the ports.
        numbers: The place of the batch in its pass.
        iteration: Over all stages, from 1.
    """

    def __init__(self, step: OwnStep, frames: Frames, numbers: range, iteration: int) -> None:
        self.step = step
        self.batch = Batch(iteration, numbers, frames, [])
        self.total: Tensor | None = None
        self.stepped: list[Optimizer] = []
        self.unscaled: list[Optimizer] = []

    def event(self) -> TrainStepEvent:
        """What the object is called with."""
        step, pipeline = self.step, self.step.pipeline
        return TrainStepEvent(
            {port: dict(frame) for port, frame in self.batch.frames.items()},
            pipeline.models,
            step.functions,
            self.batch.numbers.start,
            pipeline.precision.device,
            pipeline.precision.forward,
            step.optimizers,
            self.batch.iteration,
            step.progress.epoch + 1,
            self._backward,
            self._let_step,
        )

    def _backward(self, loss: Tensor, retain_graph: bool) -> None:
        if loss.numel() != 1:
            shape = tuple(loss.shape)
            raise DataError(f"event.backward wants a tensor with one element; it got {shape}")
        shared = self.step.shared
        if shared is not None:
            self._share_backward(shared, loss, retain_graph)
            return
        self.total = loss.detach()
        self.batch = self.batch._replace(losses=[("event.backward", "", self.total, 1)])
        for handle in self.step.losses_computed:
            handle(self.batch, self.total)
        self.step.backward.run(loss, retain_graph)

    def _share_backward(self, shared: PartStep, loss: Tensor, retain_graph: bool) -> None:
        """The same for a loss of which this process has a part: all see whether it is finite."""
        parameters = parameters_of(self.step.pipeline.optimizers)
        before = shared.take_gradients(parameters)
        self.step.backward.run(loss, retain_graph)
        self.total = shared.share_gradients(loss.detach(), parameters, before)
        self.batch = self.batch._replace(losses=[("event.backward", "", self.total, 1)])
        for handle in self.step.losses_computed:
            handle(self.batch, self.total)

    def _let_step(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> None:
        step = self.step
        steps = step.optimizer_update.steps
        update = next((run for one, run in steps if one is optimizer), None)
        if update is None:
            known = listing(list(step.optimizers))
            raise DataError(f"event.step wants an optimizer of its pipeline, which has {known}")
        scaler = step.pipeline.scaler
        if scaler is not None:
            if any(one is optimizer for one in self.unscaled):
                scaler.update()
                self.unscaled.clear()
            scaler.unscale_(optimizer)
            self.unscaled.append(optimizer)
        total = self.total if self.total is not None else _zero_on(optimizer)
        for handle in step.gradients_computed:
            handle(self.batch._replace(optimizers=(optimizer,)), total)
        held = {id(parameter) for parameter in parameters_of([optimizer])}
        for clipper in step.clippers:
            if any(id(parameter) in held for parameter in clipper.parameters()):
                clipper()
        if closure is not None:
            update = partial(optimizer.step, closure)
        if scaler is None:
            update()
            has_stepped = True
        else:
            with noting_steps([optimizer]) as stepped:
                update()
            has_stepped = bool(stepped)
        self.stepped.append(optimizer)
        for average in step.averages[id(optimizer)] if has_stepped else ():
            average.count()
        for item in step.schedulers[id(optimizer)]:
            if item.monitor is None:
                item.scheduler.step()

    def finish(self, losses: Sequence[Returned]) -> None:
        """The object is through: see what it returned, and let the scaler learn."""
        if self.step.pipeline.scaler is not None and self.unscaled:
            self.step.pipeline.scaler.update()
        for name, value, _ in losses:
            if not bool(value.isfinite()):
                bad = self.batch._replace(losses=[(name, "", value, 1)])
                raise BatchNotFinite(bad, is_late=True)

    def let_listeners_step(self) -> None:
        """Schedulers that monitor a loss step once it is known, for each step of theirs."""
        for optimizer in self.stepped:
            for item in self.step.schedulers[id(optimizer)]:
                if item.monitor is not None:
                    item.scheduler.step(self.step.losses.latest(item.monitor))


def evaluating_step(pipeline: Pipeline) -> Callable[[Frames, int], list[Returned]]:
    """What evaluates a batch by the object of a pipeline, and adds the columns that it returned.

    Args:
        pipeline: It has an ``eval_step``.
    """
    assert pipeline.eval_step is not None, "it is asked for where there is one"
    own, functions = pipeline.eval_step, _functions_of(pipeline)

    def run(frames: Frames, number: int) -> list[Returned]:
        event = EvalStepEvent(
            {port: dict(frame) for port, frame in frames.items()},
            pipeline.models,
            functions,
            number,
            pipeline.precision.device,
            pipeline.precision.forward,
        )
        losses, columns = returned(pipeline, "eval_step", own, event, _examples_in(frames))
        with_columns(pipeline, frames, columns)
        return losses

    return run


def returned(
    pipeline: Pipeline, key: str, step: StepObject, event: EvalStepEvent, examples: int
) -> tuple[list[Returned], Frame]:
    """What an object returns for a batch: its losses, detached, in order; and its columns.

    Args:
        pipeline: Whose it is.
        key: Where it stands in there.
        step: What is called.
        event: What it is called with.
        examples: How many the batch has.

    Raises:
        DataError: It returns something else.
        UserCodeError: It is the user's, and raised.
    """
    what = f'"{key}" of the pipeline "{pipeline.name}"'
    try:
        result = step.function(event)
    except (UserError, UserCodeError, BatchNotFinite):
        raise
    except Exception as error:
        raise UserCodeError(what) from error
    if not isinstance(result, Mapping):
        raise DataError(
            f"{what} must return a dict of losses and columns; it returned {type(result).__name__}"
        )
    losses = []
    for name in step.losses:
        if name not in result:
            raise DataError(f'{what} has returned no "{name}"{near(name, result)}')
        losses.append((name, _number(result[name], f'"{name}" of {what}'), examples))
    columns = {
        name: value.detach() if isinstance(value, Tensor) else value
        for name, value in result.items()
        if name not in step.losses
    }
    return losses, columns


def _number(value: Any, what: str) -> Tensor:
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.detach().reshape(())
    if isinstance(value, Real):
        return torch.tensor(float(value), dtype=torch.float64)
    found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise DataError(f"{what} must be one number; it is {found}")


def with_columns(pipeline: Pipeline, frames: Frames, columns: Frame) -> Frames:
    """Frames in which each processor has the columns of all ports, and those that were returned."""
    ports = [frames[port] for port in pipeline.graph.ports if port in frames]
    whole = {name: column for frame in ports for name, column in frame.items()}
    examples = _examples_in(frames)
    for name, origin in pipeline.graph.origins.items():
        frames[name] = whole | columns
        frames.counts.setdefault(origin, examples)
    return frames


def _examples_in(frames: Frames) -> int:
    return next(iter(frames.counts.values()))


def _functions_of(pipeline: Pipeline) -> dict[str, Any]:
    return {item.shown_as: item.loss.function for item in pipeline.losses}


def _zero_on(optimizer: Optimizer) -> Tensor:
    (parameter, *_) = parameters_of([optimizer])
    return torch.zeros((), device=parameter.device)


class _ReturnedLosses(RunningLosses):
    """The means of what a step returns, over the examples of an epoch so far."""

    def means_from(self, state: Mapping[str, tuple[float, float]]) -> dict[str, RunningMean]:
        """See :class:`RunningLosses`."""
        names = self.pipeline.trained_losses
        return {name: RunningMean(state=state.get(name, (0.0, 0))) for name in names}

    def values(self) -> dict[str, float]:
        """See :class:`RunningLosses`."""
        return {name: mean.value() for name, mean in self.means.items()}


class KeptGradients:
    """The gradients that a step may have added up by hand, as a state.

    Args:
        pipeline: Whose.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.parameters = parameters_of(pipeline.optimizers)

    def state_dict(self) -> dict[str, Tensor]:
        """Those that are there, by the place of their parameter among all."""
        found = ((str(i), parameter.grad) for i, parameter in enumerate(self.parameters))
        return {key: gradient for key, gradient in found if gradient is not None}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put them back.

        Raises:
            ValueError: One is of another shape or dtype than its parameter, or of none.
        """
        for index, parameter in enumerate(self.parameters):
            gradient = state.get(str(index))
            if gradient is None:
                parameter.grad = None
                continue
            if gradient.shape != parameter.shape or gradient.dtype != parameter.dtype:
                raise ValueError(f"the gradient {index} does not fit its parameter")
            parameter.grad = gradient.to(parameter.device, copy=True)
        if not state.keys() <= {str(index) for index in range(len(self.parameters))}:
            raise ValueError("there are more gradients than parameters")
