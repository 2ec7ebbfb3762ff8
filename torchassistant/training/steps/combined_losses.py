"""The gradients of a batch, as an object of the user makes one of those of several losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.training.carrying import carrying, carrying_in
from torchassistant.training.events import Batch, Listener, Parts
from torchassistant.training.losses.loss_weights import LossWeights
from torchassistant.training.losses.weighted_losses import LossValues
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.steps.gradients import OneBatch, unweighted_forward

Combine = Callable[[dict[str, torch.Tensor], list[torch.Tensor]], Any]
"""Leaves gradients with parameters, from losses by display name."""


class CombinedLosses(OneBatch):
    """The gradients that an object leaves, which is called in place of the backward pass.

    It gets the losses by display name, each times its weight, and the parameters that the pipeline
    trains, without those that are frozen.

    Args:
        pipeline: Whose.
        listeners: Of losses and gradients.
        parts: Puts events around models and losses.
        progress: Where the run is; weights that are scheduled follow from that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        listeners: Sequence[Listener],
        parts: Parts,
        progress: Progress,
    ) -> None:
        super().__init__(pipeline, listeners, parts, progress)
        self.pipeline = pipeline
        self.separate = carrying(pipeline.graph, unweighted_forward(pipeline, parts))
        self.carrying = carrying_in(self.separate)
        self.weights = LossWeights(pipeline, progress)

    def compute(self, window: Sequence[Frames], numbers: range, iteration: int) -> list[LossValues]:
        """See :class:`Gradients`."""
        (frames,) = window
        self.frames = frames
        weights = self.weights.now()
        values, losses = self.separate(frames)
        weighted = [
            loss if weight == 1 else loss * weight
            for loss, weight in zip(losses, weights, strict=True)
        ]
        total = torch.stack([loss.detach().reshape(()) for loss in weighted]).sum()
        batch = Batch(iteration, numbers, frames, values)
        for handle in self.losses_computed:
            handle(batch, total)
        combine(self.pipeline, weighted)
        for handle_gradients in self.gradients_computed:
            handle_gradients(batch, total)
        return [values]


def combine(pipeline: Pipeline, losses: Sequence[torch.Tensor]) -> None:
    """Let the object of a pipeline leave gradients with its parameters.

    Args:
        pipeline: Whose.
        losses: Each times its weight, a scalar with gradient.

    Raises:
        DataError: It leaves none.
        UserCodeError: It is the user's, and raised.
    """
    assert pipeline.combine is not None, "it is called where there is one"
    what = f'"combine" of the pipeline "{pipeline.name}"'
    named = {item.shown_as: loss for item, loss in zip(pipeline.losses, losses, strict=True)}
    parameters = [p for p in parameters_of(pipeline.optimizers) if p.requires_grad]
    try:
        pipeline.combine(named, parameters)
    except UserError:
        raise
    except Exception as error:
        raise UserCodeError(what) from error
    if all(parameter.grad is None for parameter in parameters):
        raise DataError(f"{what} has left no gradient with any parameter")
