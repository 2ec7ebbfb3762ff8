"""The losses and metrics of a pipeline over one batch, and the gradients that losses leave."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from torchassistant.errors import UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.graph import is_among
from torchassistant.session.preflight.findings import Findings, path_of_pipeline
from torchassistant.training import (
    LossByKey,
    LossWeights,
    Pipeline,
    Progress,
    Stage,
    combine,
    expect_storable,
    tells_of_stretching,
    weighted_sum,
)


class Losses:
    """The losses of one pipeline.

    Args:
        pipeline: Has the losses.
        found: Learns which of them runs.

    Attributes:
        weighted: Those of the last batch, times their weights.
    """

    def __init__(self, pipeline: Pipeline, found: Findings) -> None:
        self.pipeline = pipeline
        self.found = found
        self.path = (*path_of_pipeline(pipeline), "losses")
        self.weighted: list[torch.Tensor] = []

    def of_batch(self, frames: Frames) -> torch.Tensor | None:
        """The weighted sum; None where there is no loss.

        Raises:
            ConfigError: A loss broadcasts one of its inputs.
        """
        values = [self._value(index, frames) for index in range(len(self.pipeline.losses))]
        self.weighted = self.times_weights(values)
        return weighted_sum(self.weighted, [1] * len(values)) if values else None

    def times_weights(self, losses: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Losses times their weights at the first step of a stage."""
        self.found.at = self.path
        weights = LossWeights(self.pipeline, Progress()).now()
        return [value * weight for value, weight in zip(losses, weights, strict=True)]

    def backward(
        self, weighted: Sequence[torch.Tensor], scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Leave gradients with the parameters, from losses times their weights."""
        if self.pipeline.combine is not None:
            self.found.at = (*path_of_pipeline(self.pipeline), "combine")
            combine(self.pipeline, weighted)
            return
        total = weighted_sum(weighted, [1] * len(weighted))
        try:
            (total if scaler is None else scaler.scale(total)).backward()
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError("the backward pass") from error

    def _value(self, index: int, frames: Frames) -> torch.Tensor:
        item = self.pipeline.losses[index]
        self.found.at = (*self.path, index)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            samples = self.pipeline.graph.count_of(frames, item.node)
            value, _, _ = LossByKey(item.loss)(frames[item.node], samples)
        for warning in caught:
            if tells_of_stretching(warning):
                sentence = str(warning.message).splitlines()[0].split(". ")[0]
                message = f"{item.loss.name} broadcasts one of its inputs: {sentence}"
                raise self.found.error(message, self.found.at)
        return value


def measure(
    pipeline: Pipeline, frames: Frames, found: Findings, stage: Stage | None = None
) -> None:
    """Compute each metric of a pipeline over one batch.

    Args:
        pipeline: Which one.
        frames: Of the batch.
        found: Learns which metric runs.
        stage: The stage that trains it; what it measures in training has to be stored.
    """
    stored = [] if stage is None else [item.metric for item in stage.measured(pipeline)]
    with torch.no_grad():
        for index, item in enumerate(pipeline.metrics):
            found.at = (*path_of_pipeline(pipeline), "metrics", index)
            metric = item.metric.fresh()
            metric.update(frames[item.node], pipeline.graph.count_of(frames, item.node))
            if is_among(item.metric, stored):
                expect_storable(metric, item.metric.fresh())
            metric.result()
