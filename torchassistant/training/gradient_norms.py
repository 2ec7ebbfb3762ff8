"""The norms of the gradients that optimizers step by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.optim import Optimizer

from torchassistant.gradient_norm import gradient_norm
from torchassistant.training.events import Batch, Listener
from torchassistant.training.pipeline import Pipeline


class GradientNorms(Listener):
    """Tells the norms of the gradients of a pipeline's steps, unscaled and before clipping.

    Args:
        pipeline: Its optimizers, and their names, are looked at.
        note: Is told the name of an optimizer, and a norm as ``gradient_norm`` gives it.
        is_due: Whether the norms of a step are wanted, by the number of its iteration over all
            stages, from 1.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        note: Callable[[str, torch.Tensor], None],
        is_due: Callable[[int], bool],
    ) -> None:
        self.names = {id(one): pipeline.name_of(one) for one in pipeline.optimizers}
        self.optimizers: Sequence[Optimizer] = pipeline.optimizers
        self.note = note
        self.is_due = is_due

    def gradients_computed(self, batch: Batch, total: torch.Tensor) -> None:
        if not self.is_due(batch.iteration):
            return
        for optimizer in batch.optimizers or self.optimizers:
            norm = gradient_norm(optimizer)
            if norm is not None:
                self.note(self.names[id(optimizer)], norm)
