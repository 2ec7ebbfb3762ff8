"""The losses of a pipeline, and the weighted sum of them that is minimised."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from torchassistant.frames import Frames
from torchassistant.training.accumulation import Part
from torchassistant.training.loss_denominators import Count, as_sum, counts_samples, states_terms
from torchassistant.training.pipeline import Pipeline

LossValues = Sequence[tuple[str, str, torch.Tensor, Count]]
"""Of each loss its display name, its processor, its value, the number of terms it is a mean of."""


class WeightedLosses:
    """Computes the losses of a pipeline from the frames of a batch.

    Args:
        pipeline: Whose losses.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        origins = pipeline.graph.origins
        self.losses = [
            (item.shown_as, item.node, origins[item.node], item.loss, item.weight)
            for item in pipeline.losses
        ]

    def of_batch(self, frames: Frames) -> tuple[LossValues, torch.Tensor]:
        """The losses, detached, and their weighted sum, a scalar with gradient."""
        total: torch.Tensor | None = None
        values = []
        for shown_as, node, origin, loss, weight in self.losses:
            value, terms = loss(frames[node], frames.counts[origin])
            values.append((shown_as, node, value.detach(), terms))
            weighted = value if weight == 1 else value * weight
            total = weighted if total is None else total + weighted
        assert total is not None, "the check of the config asks for a loss"
        return values, total

    def over_terms(self, frames: Frames) -> tuple[LossValues, Sequence[Part], torch.Tensor]:
        """The losses, detached, their weighted sums over terms, and the sum of these, detached."""
        values, parts = [], []
        for index, (shown_as, node, origin, loss, weight) in enumerate(self.losses):
            samples = frames.counts[origin]
            value, total, terms = loss.over_terms(frames[node], samples)
            shown = terms if loss.has_own_terms and terms is not None else samples
            values.append((shown_as, node, value.detach(), shown))
            counted = origin if counts_samples(loss.function) else index
            of_mean = states_terms(loss.function) and as_sum(loss.function) is None
            parts.append(Part(counted, total * weight, terms, of_mean))
        return values, parts, torch.stack([part.total.detach() for part in parts]).sum()
