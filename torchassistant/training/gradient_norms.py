"""The norms of the gradients that optimizers step by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from torchassistant.training.events import Batch, Listener
from torchassistant.training.optimizer_calls import parameters_of
from torchassistant.training.pipeline import Pipeline


def gradient_norm(optimizer: Optimizer) -> torch.Tensor | None:
    """The L2 norm of all gradients that an optimizer would step by now, as one vector.

    Returns:
        A scalar on the device of the parameters, which nobody has waited for, with the bits that
        ``torch.nn.utils.clip_grad_norm_`` gives; None where no parameter has a gradient.
    """
    found = [p.grad for p in parameters_of([optimizer]) if p.grad is not None]
    if not found:
        return None
    return get_total_norm([g.coalesce().values() if g.is_sparse else g for g in found])


class GradientNorms(Listener):
    """Tells the norms of the gradients of a pipeline's steps, unscaled and before clipping.

    Args:
        pipeline: Its optimizers, and their names, are looked at.
        note: Is told the name of an optimizer, and a norm as :func:`gradient_norm` gives it.
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
