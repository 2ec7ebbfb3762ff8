"""The forward half of an iteration: a batch through the graph, and the losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from torchassistant.errors import UserCodeError, UserError
from torchassistant.frames import Frames
from torchassistant.training.accumulation import Part
from torchassistant.training.loss_denominators import Count, as_sum, counts_samples, states_terms
from torchassistant.training.pipeline import Pipeline

Values = Sequence[tuple[str, str, torch.Tensor, Count]]
"""Of each loss its display name, its processor, its value, the number of terms it is a mean of."""


class Forward:
    """Runs a pipeline forward, for training.

    Args:
        pipeline: Which one. Frames of its ports go in; the frames of its processors are added.

    Attributes:
        losses_of: From frames to the losses, and their weighted sum.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.plan = pipeline.graph.for_training()
        origins = pipeline.graph.origins
        self.losses = [
            (item.shown_as, item.node, origins[item.node], item.loss, item.weight)
            for item in pipeline.losses
        ]
        compiling = pipeline.compiling
        self.run = self._run if compiling is None else compiling(self._run)
        self.run_over_terms = (
            self._run_over_terms if compiling is None else compiling(self._run_over_terms)
        )
        is_plain = compiling is None and pipeline.precision.dtype is None
        self.losses_of = self._run if is_plain else self._losses_of

    def _losses_of(self, frames: Frames) -> tuple[Values, torch.Tensor]:
        with self.pipeline.precision.forward():
            return self._called(self.run, frames)

    def over_terms(self, frames: Frames) -> tuple[Values, Sequence[Part], torch.Tensor]:
        """The losses, their sums over terms, and the sum of these."""
        with self.pipeline.precision.forward():
            return self._called(self.run_over_terms, frames)

    def _called(self, run: Any, frames: Frames) -> Any:
        try:
            return run(frames)
        except (UserError, UserCodeError):
            raise
        except Exception as error:
            # What a graph or a loss raises says where it was; this is what a compiler raises.
            raise UserCodeError("compiling it") from error

    def _run(self, frames: Frames) -> tuple[Values, torch.Tensor]:
        self.plan.run(frames)
        total: torch.Tensor | None = None
        values = []
        for shown_as, node, origin, loss, weight in self.losses:
            value, terms = loss(frames[node], frames.counts[origin])
            values.append((shown_as, node, value.detach(), terms))
            weighted = value if weight == 1 else value * weight
            total = weighted if total is None else total + weighted
        assert total is not None, "the check of the config asks for a loss"
        return values, total

    def _run_over_terms(self, frames: Frames) -> tuple[Values, Sequence[Part], torch.Tensor]:
        self.plan.run(frames)
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
