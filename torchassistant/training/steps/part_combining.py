"""Gradients that an object makes of several losses, of which each process computes its parts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchassistant.parallel import Summands
from torchassistant.training.accumulation import Summand
from torchassistant.training.events import Listener, Parts
from torchassistant.training.losses.loss_weights import LossWeights
from torchassistant.training.losses.losses_by_key import losses_over_terms
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.steps.combined_losses import combine
from torchassistant.training.steps.gradients import graph_forward
from torchassistant.training.steps.part_gradients import PartGradients


class PartCombining(PartGradients):
    """Calls the object with losses of whole batches.

    Each has the value and, with respect to the parameters, the gradient that it has over all parts;
    a second derivative it has not.
    """

    def __init__(
        self, pipeline: Pipeline, listeners: Sequence[Listener], parts: Parts, progress: Progress
    ) -> None:
        super().__init__(pipeline, listeners, parts, progress)
        self.weights = LossWeights(pipeline, progress)
        apart = losses_over_terms(pipeline, parts).unweighted
        self.run_part.run = graph_forward(pipeline, apart, parts)

    def summands(self, given: Sequence[Any], weights: Sequence[float] | None) -> Sequence[Summand]:
        """See :class:`PartGradients`; each loss is kept apart."""
        assert weights is not None, "there are some"
        found: list[Summand] = []
        for index, (one, weight) in enumerate(zip(given, weights, strict=True)):
            for summand in [one] if isinstance(one, Summand) else one:
                total = summand.total * weight
                counted = index, summand.counted
                found.append(summand._replace(counted=counted, total=total))
        return found

    def loss_of(self, kind: Hashable) -> int:
        """See :class:`PartGradients`."""
        while isinstance(kind, tuple) and isinstance(kind[0], tuple):
            (kind, *_) = kind  # one that was set apart from another
        assert isinstance(kind, tuple), "it was made here"
        return int(kind[0])

    def leave(self, flats: Sequence[Summands], present: Sequence[bool]) -> None:
        """See :class:`PartGradients`; the object does that."""
        assert self.known_kinds is not None, "they were agreed on"
        losses = []
        for index in range(len(self.pipeline.losses)):
            own = [at for at, loss in enumerate(self.known_kinds) if loss == index]
            terms: list[Tensor] = []
            for at in own:
                terms += [(p * g).sum() for p, g in self.flat.parted(flats[at], present)]
            slope = torch.stack([one.to(terms[0].device) for one in terms]).sum()
            value = sum(self.kind_values[at] for at in own)
            losses.append(slope - slope.detach() + value)
        combine(self.pipeline, losses)
