"""Learning rate schedulers: when they step, and what they listen to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from torchassistant.errors import DataError, UserError, near
from torchassistant.graph import is_among
from torchassistant.training.optimizer_calls import failure
from torchassistant.training.progress import Row


@dataclass(frozen=True, slots=True, eq=False)
class Scheduler:
    """A learning rate scheduler and when it steps.

    Args:
        name: The name of its optimizer's definition.
        optimizer: Whose learning rate it sets.
        scheduler: The torch scheduler.
        interval: ``epoch`` or ``step``.
        monitor: The display name that it listens to, if it does.
    """

    name: str
    optimizer: Optimizer
    scheduler: Any
    interval: str = "epoch"
    monitor: str | None = None

    def __str__(self) -> str:
        return f'the scheduler of the optimizer "{self.name}"'


def schedulers_at(
    interval: str, schedulers: Iterable[Scheduler], optimizers: Iterable[Optimizer]
) -> list[Scheduler]:
    """Those of some optimizers that step with the epochs, or with the steps."""
    used = list(optimizers)
    return [s for s in schedulers if s.interval == interval and is_among(s.optimizer, used)]


def step_at_epoch(schedulers: Iterable[Scheduler], row: Row) -> None:
    """Let schedulers step at the end of an epoch.

    Args:
        schedulers: Those that step with the epochs.
        row: The row of the epoch, which they may listen to. One that listens to what was not
            measured makes no step.

    Raises:
        DataError: One listens to what the row lacks.
        UserCodeError: One is the user's, and raised.
    """
    for item in schedulers:
        if item.monitor is not None and item.monitor not in row:
            raise DataError(
                f'{item} listens to "{item.monitor}", which the rows of this stage lack'
                f"{near(item.monitor, row)}"
            )
        try:
            if item.monitor is None:
                item.scheduler.step()
            elif row[item.monitor] is not None:
                item.scheduler.step(row[item.monitor])
        except UserError:
            raise
        except Exception as error:
            raise failure(str(item), error) from error
