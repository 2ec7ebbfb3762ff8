"""The losses of a pipeline, and the weighted sum of them that is minimised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from torchassistant.frames import Frames
from torchassistant.training.accumulation import Summand
from torchassistant.training.events import Part, Parts
from torchassistant.training.losses.loss_denominators import Count
from torchassistant.training.pipeline import Pipeline

LossValues = Sequence[tuple[str, str, torch.Tensor, Count]]
"""Of each loss its display name, its processor, its value, the number of terms it is a mean of."""


class WeightedLosses:
    """Computes the losses of a pipeline from the frames of a batch.

    Args:
        pipeline: Whose losses.
        parts: Puts events around each loss, unless all are compiled as one.
    """

    def __init__(self, pipeline: Pipeline, parts: Parts | None = None) -> None:
        if parts is None or pipeline.compiling is not None:
            parts = Parts(())
        origins = pipeline.graph.origins
        self.weights = [item.weight for item in pipeline.losses]
        self.losses: list[tuple[str, str, str, Any]] = [
            (
                item.shown_as,
                item.node,
                origins[item.node],
                parts.around(item.loss, Part.LOSS, item.shown_as),
            )
            for item in pipeline.losses
        ]

    def of_batch(self, frames: Frames) -> tuple[LossValues, torch.Tensor]:
        """The losses, detached, and their weighted sum, a scalar with gradient."""
        values, losses = self.unweighted(frames)
        return values, weighted_sum(losses, self.weights)

    def unweighted(self, frames: Frames) -> tuple[LossValues, list[torch.Tensor]]:
        """The losses, detached; and each with gradient, without its weight."""
        values, losses = [], []
        for shown_as, node, origin, loss in self.losses:
            value, terms = loss(frames[node], frames.counts[origin])
            values.append((shown_as, node, value.detach(), terms))
            losses.append(value)
        return values, losses


class LossesOverTerms:
    """The same as sums over terms (samples, elements, targets), for gradient accumulation.

    Args:
        pipeline: Whose losses.
        parts: Puts events around each loss, unless all are compiled as one.
    """

    def __init__(self, pipeline: Pipeline, parts: Parts) -> None:
        if pipeline.compiling is not None:
            parts = Parts(())
        origins = pipeline.graph.origins
        self.weights = [item.weight for item in pipeline.losses]
        self.losses = []
        for index, item in enumerate(pipeline.losses):
            loss, origin = item.loss, origins[item.node]
            over_terms = parts.around(loss.over_terms, Part.LOSS, item.shown_as)
            counted = origin if loss.counts_samples else index
            self.losses.append((item, origin, over_terms, counted, loss.is_multiplied))

    def of_batch(self, frames: Frames) -> tuple[LossValues, Sequence[Summand]]:
        """The losses, detached; their weighted sums over terms."""
        values, summands = self.unweighted(frames)
        return values, self.weighted(summands, self.weights)

    def unweighted(self, frames: Frames) -> tuple[LossValues, list[Summand]]:
        """The losses, detached; their sums over terms."""
        values, summands = [], []
        for item, origin, over_terms, counted, of_mean in self.losses:
            samples = frames.counts[origin]
            value, total, terms = over_terms(frames[item.node], samples)
            shown = terms if item.loss.has_own_terms and terms is not None else samples
            values.append((item.shown_as, item.node, value.detach(), shown))
            summands.append(Summand(counted, total, terms, of_mean))
        return values, summands

    def weighted(self, summands: Sequence[Summand], weights: Sequence[float]) -> list[Summand]:
        """The summands, each times the weight of its loss."""
        return weighted_summands(summands, weights)


def weighted_sum(losses: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """The sum that is minimised: a scalar with gradient."""
    total: torch.Tensor | None = None
    for value, weight in zip(losses, weights, strict=True):
        weighted = value if weight == 1 else value * weight
        total = weighted if total is None else total + weighted
    assert total is not None, "the check of the config asks for a loss"
    return total


def weighted_summands(summands: Sequence[Summand], weights: Sequence[float]) -> list[Summand]:
    """The same summands, each times the weight of its loss."""
    pairs = zip(summands, weights, strict=True)
    return [summand._replace(total=summand.total * weight) for summand, weight in pairs]
