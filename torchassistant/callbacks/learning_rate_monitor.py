"""A callback: the learning rates are columns of the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchassistant.callbacks.base import Callback
from torchassistant.callbacks.events import EpochEndEvent, RowEvent, ValidationEndEvent
from torchassistant.callbacks.named_optimizers import named_optimizers
from torchassistant.errors import listing
from torchassistant.learning_rates import LearningRates
from torchassistant.messages import logger_for

_log = logger_for(__name__)


class LearningRateMonitor(Callback):
    """Shows the learning rates in the history, one column each.

    A column is ``lr/OPTIMIZER``, or ``lr/OPTIMIZER/GROUP`` where the optimizer has several groups
    of parameters; a group without a name of its own is called by its place, from 0. A row shows the
    rates as they are after its last step, before schedulers that go by epochs step. Groups that
    your code adds while it trains have no column, of which there is a warning.

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
        self._known = LearningRates(named_optimizers(session, self.optimizers))
        self._is_warned = False
        return self._known.columns

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
        optimizers = named_optimizers(event.session, self.optimizers)
        later = self._known.later(optimizers)
        if later and not self._is_warned:
            self._is_warned = True
            _log.warning(
                f'the callback "{event.name}" shows no learning rate of {listing(later)}: '
                "columns are fixed before training, and these groups of parameters were added "
                'since; define them in the config, as "parameters" of the optimizer'
            )
        return self._known.of(optimizers)
