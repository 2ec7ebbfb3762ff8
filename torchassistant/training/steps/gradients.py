"""What a step computes its gradients from: one batch, or several as if they had been one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from torchassistant.compat.backward import backward
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.training.accumulation import Accumulation
from torchassistant.training.batch_run import BatchRun, Compute, T
from torchassistant.training.carrying import Carrying, carrying, carrying_in
from torchassistant.training.events import (
    Batch,
    Listener,
    Part,
    Parts,
    gradient_handlers_of,
    handlers_of,
)
from torchassistant.training.losses.loss_weights import LossWeights
from torchassistant.training.losses.losses_by_key import losses_over_terms, weighted_losses
from torchassistant.training.losses.weighted_losses import (
    LossValues,
    weighted_sum,
)
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress


class Gradients(Protocol):
    """Leaves the gradients of a step with the parameters."""

    frames: Frames
    """Of all ports and processors, of the last batch."""
    carrying: Carrying[Any] | None
    """Holds what is carried from batch to batch; None where nothing is."""

    def compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> list[LossValues]:
        """Forward, losses and backward.

        Args:
            window: The frames of the ports, for each batch of the step.
            numbers: The places of the batches in their epoch, from 0.
            iteration: The number of the step's iteration over all stages, from 1.

        Returns:
            The losses of each batch.
        """


class OneBatch:
    """The gradients of a single batch.

    Args:
        pipeline: Whose.
        listeners: Of losses and gradients.
        parts: Puts events around models, losses and backward passes.
        progress: Where the run is; weights that are scheduled follow from that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        listeners: Sequence[Listener],
        parts: Parts,
        progress: Progress,
    ) -> None:
        self.frames = Frames()
        self.losses_computed = handlers_of(listeners, Listener.losses_computed)
        self.gradients_computed = gradient_handlers_of(listeners)
        self.forward = carrying(pipeline.graph, _weighted_forward(pipeline, parts, progress))
        self.carrying = carrying_in(self.forward)
        self.backward = Backward(pipeline, parts)

    def compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> list[LossValues]:
        """See :class:`Gradients`."""
        (frames,) = window
        self.frames = frames
        losses, total = self.forward(frames)
        batch = Batch(iteration, numbers, frames, losses)
        for handle in self.losses_computed:
            handle(batch, total)
        self.backward.run(total)
        if self.backward.scaler is not None:
            self.backward.unscale(self.backward.scaler)
        for handle_gradients in self.gradients_computed:
            handle_gradients(batch, total)
        return [losses]


class AccumulatedBatches:
    """Gradient accumulation: the gradients of several batches, as if they had been one.

    Args:
        pipeline: Whose.
        listeners: Of losses and gradients.
        parts: Puts events around models, losses and backward passes.
        progress: Where the run is; weights that are scheduled follow from that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        listeners: Sequence[Listener],
        parts: Parts,
        progress: Progress,
    ) -> None:
        self.pipeline = pipeline
        self.frames = Frames()
        self.losses_computed = handlers_of(listeners, Listener.losses_computed)
        self.batch_accumulated = handlers_of(listeners, Listener.batch_accumulated)
        self.gradients_computed = gradient_handlers_of(listeners)
        losses = losses_over_terms(pipeline, parts)
        self.weighted = losses.weighted
        self.weights = LossWeights(pipeline, progress) if pipeline.schedules else None
        compute = losses.of_batch if self.weights is None else losses.unweighted
        self.forward = carrying(pipeline.graph, graph_forward(pipeline, compute, parts))
        self.carrying = carrying_in(self.forward)
        self.backward = Backward(pipeline, parts)
        self.begin: Callable[..., Accumulation] = Accumulation

    def compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> list[LossValues]:
        """See :class:`Gradients`."""
        accumulation = self.begin(parameters_of(self.pipeline.optimizers), self.backward.run)
        computed: list[LossValues] = []
        weights = None if self.weights is None else self.weights.now()
        for number, frames in zip(numbers, window, strict=True):
            if computed:
                for handle in self.batch_accumulated:
                    handle(self.pipeline)
                # What one batch has made is not kept while the next one is computed.
                self.frames.clear()
            self.frames = frames
            losses, summands = self.forward(frames)
            if weights is not None:
                summands = self.weighted(summands, weights)
            total = torch.stack([summand.total.detach() for summand in summands]).sum()
            batch = Batch(iteration, range(number, number + 1), frames, losses)
            for handle_losses in self.losses_computed:
                handle_losses(batch, total)
            accumulation.add(summands)
            computed.append(losses)
        accumulation.finish()
        if self.backward.scaler is not None:
            self.backward.unscale(self.backward.scaler)
        whole = batch._replace(numbers=numbers)
        for handle_gradients in self.gradients_computed:
            handle_gradients(whole, total)
        return computed


class Backward:
    """The backward passes of a pipeline, through its scaler where it has one.

    Args:
        pipeline: Which one.
        parts: Puts events around each pass.
    """

    def __init__(self, pipeline: Pipeline, parts: Parts) -> None:
        self.pipeline = pipeline
        self.scaler = pipeline.scaler
        self.optimizers = pipeline.optimizers
        self.run = parts.around(self._run, Part.BACKWARD)

    def _run(self, total: torch.Tensor, again: bool = False) -> None:
        """Add the gradients of a scalar; ``again`` says that the graph is needed once more."""
        scaled = total if self.scaler is None else self.scaler.scale(total)
        try:
            backward(scaled, again)
        except UserError:
            raise
        except Exception as error:
            if not total.requires_grad:
                raise DataError(
                    f'the losses of the pipeline "{self.pipeline.name}" do not depend on anything '
                    "that it trains"
                ) from None
            raise UserCodeError("the backward pass") from error

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        """Divide the gradients by the scale, once all of them are there."""
        for optimizer in self.optimizers:
            scaler.unscale_(optimizer)


def _weighted_forward(
    pipeline: Pipeline, parts: Parts, progress: Progress
) -> Callable[[Frames], tuple[LossValues, torch.Tensor]]:
    if not pipeline.schedules:
        return graph_forward(pipeline, weighted_losses(pipeline, parts).of_batch, parts)
    weights = LossWeights(pipeline, progress)
    # What is compiled would take a weight for a constant, and be compiled anew for each.
    run = unweighted_forward(pipeline, parts)

    def forward(frames: Frames) -> tuple[LossValues, torch.Tensor]:
        of_now = weights.now()
        values, with_gradient = run(frames)
        return values, weighted_sum(with_gradient, of_now)

    return forward


def unweighted_forward(
    pipeline: Pipeline, parts: Parts
) -> Callable[[Frames], tuple[LossValues, list[torch.Tensor]]]:
    """Takes a batch through graph and losses: these detached, and each with gradient.

    Args:
        pipeline: Whose.
        parts: Puts events around models and losses.
    """
    return graph_forward(pipeline, weighted_losses(pipeline, parts).unweighted, parts)


def graph_forward(pipeline: Pipeline, compute: Compute[T], parts: Parts) -> Callable[[Frames], T]:
    """Takes a batch through the graph, and computes something from all of its frames."""
    # What is compiled as a whole has no parts that an event could stand around.
    watched = parts.of_graph if pipeline.compiling is None else None
    return BatchRun.for_training(
        pipeline.graph, pipeline.precision, compute, pipeline.compiling, watched
    ).run
