"""A callback: the mean norms of gradients are columns of the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchassistant.callbacks.base import Callback
from torchassistant.callbacks.events import BackwardEndEvent
from torchassistant.callbacks.named_optimizers import named_optimizers
from torchassistant.gradient_norm import gradient_norm


class GradientNorms(Callback):
    """Shows the norms of gradients in the history: ``grad_norm/OPTIMIZER``.

    A value is the mean, over the steps since the last row, of the L2 norm of all gradients that the
    optimizer steps by: unscaled, before clipping, and after the callbacks that stand before this
    one have changed them. Of an optimizer that demands a closure the first call of a step counts.
    A norm that is infinite or NaN does not count: ``fp16`` leaves out such steps. Where there was
    no step the cell is empty. On a GPU the norms stay there until a row is written.

    Args:
        optimizers: Names of optimizers; None for all of the session.
    """

    def __init__(self, optimizers: Sequence[str] | None = None) -> None:
        self.optimizers = optimizers

    def columns(self, session: Any) -> list[str]:
        """The columns for a session.

        Raises:
            DataError: It has no optimizer of a name.
        """
        return [f"grad_norm/{name}" for name in named_optimizers(session, self.optimizers)]

    def on_backward_end(self, event: BackwardEndEvent) -> None:
        """Add the norm of each optimizer that is about to step."""
        if event.is_repeated:
            return
        for name, optimizer in event.optimizers.items():
            if self.optimizers is None or name in self.optimizers:
                norm = gradient_norm(optimizer)
                if norm is not None:
                    event.add_to_mean(f"grad_norm/{name}", norm, norm.isfinite())
