"""A callback: the learning rates are columns of the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchassistant.callbacks.base import Callback
from torchassistant.callbacks.events import EpochEndEvent, RowEvent, ValidationEndEvent
from torchassistant.callbacks.named_optimizers import named_optimizers
from torchassistant.learning_rates import learning_rates, rate_columns


class LearningRateMonitor(Callback):
    """Shows the learning rates in the history, one column each.

    A column is ``lr/OPTIMIZER``, or ``lr/OPTIMIZER/GROUP`` where the optimizer has several groups
    of parameters; a group without a name of its own is called by its place, from 0. A row shows the
    rates as they are after its last step, before schedulers that go by epochs step.

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
        return rate_columns(named_optimizers(session, self.optimizers))

    def on_validation_end(self, event: ValidationEndEvent) -> None:
        """Add the rates to the row that comes, which may be one within an epoch."""
        for column, rate in self._rates(event).items():
            event.add(column, rate)

    def on_epoch_end(self, event: EpochEndEvent) -> None:
        """Add the rates to the row, where nothing was validated before."""
        row = event.row
        for column, rate in self._rates(event).items():
            if row.get(column) is None:
                event.add(column, rate)

    def _rates(self, event: RowEvent) -> dict[str, float]:
        return learning_rates(named_optimizers(event.session, self.optimizers))
