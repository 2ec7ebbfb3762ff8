"""Stop conditions: asked after every epoch of a stage whether the stage is done.

A condition is called with the number of the epoch in its stage, counted from 1, and the history:
the rows of this stage so far, each a dict with ``epoch``, ``step``, the display names of its losses
and metrics, and ``seconds``. What was not measured for a row is None there.

Where a stage is validated within its epochs too, each of these validations adds a row. A condition
with an attribute ``asked_within_epoch = True`` is asked after those rows as well, with the number
of the epoch that is under way, and a history whose ``ends_in_epoch`` is true.

The conditions here keep nothing between calls, so that a stage that is interrupted and resumed ends
where it would have ended. One of your own that does keep something gives it as ``state_dict()`` and
takes it back in ``load_state_dict(state)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torchassistant.errors import DataError, near

History = Sequence[Mapping[str, Any]]
StopCondition = Callable[[int, History], bool]

_NOT_MEASURED = frozenset({"epoch", "step", "seconds"})


def _values(history: History, monitor: str) -> list[float]:
    """What was measured under a display name, row by row; other rows are passed over.

    Raises:
        DataError: There is no such display name.
    """
    if history and monitor not in history[-1]:
        known = [name for name in history[-1] if name not in _NOT_MEASURED]
        raise DataError(
            f'the stop condition is to monitor "{monitor}", which is not measured'
            f"{near(monitor, known) or '; this stage measures nothing'}"
        )
    found = (row.get(monitor) for row in history)
    return [float(value) for value in found if value is not None]


def _check_mode(mode: str | None) -> None:
    if mode not in (None, "min", "max"):
        raise ValueError(f'mode must be "min" or "max", found {mode!r}')


class EpochsCompleted:
    """Done after a number of epochs.

    Args:
        num_epochs: How many epochs of this stage.

    Raises:
        ValueError: ``num_epochs`` is less than 1.
    """

    def __init__(self, num_epochs: int) -> None:
        if num_epochs < 1:
            raise ValueError(f"num_epochs must be at least 1, found {num_epochs}")
        self.num_epochs = num_epochs

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether that many epochs are done."""
        return epoch_in_stage >= self.num_epochs


class IterationsCompleted:
    """Done, as soon as it is asked, once the stage has made a number of iterations.

    It is asked at the end of each epoch, and after each validation within one.

    Args:
        num_iterations: How many iterations of this stage.

    Raises:
        ValueError: ``num_iterations`` is less than 1.
    """

    asked_within_epoch = True

    def __init__(self, num_iterations: int) -> None:
        if num_iterations < 1:
            raise ValueError(f"num_iterations must be at least 1, found {num_iterations}")
        self.num_iterations = num_iterations

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether that many iterations are done.

        A history may say in an attribute ``iterations`` how many this stage has made. Where it does
        not, the ``step`` of the last row counts, which includes those of earlier stages.
        """
        done = getattr(history, "iterations", None)
        if done is None:
            done = history[-1]["step"] if history else 0
        return bool(done >= self.num_iterations)


class EarlyStopping:
    """Done when a measured value has not improved for a number of rows in a row.

    There is a row for each epoch, and for each validation within one. Rows for which the value was
    not measured do not count.

    This is the criterion UP of L. Prechelt, "Early Stopping - But When?", in: Neural Networks:
    Tricks of the Trade, 1998, with the best value so far in place of the one before.

    Args:
        monitor: The display name of a loss or metric.
        min_delta: A row improves on the best value if it is better by more than this. A value
            that is better by less does not become the best, so slow progress adds up.
        patience: How many rows, epochs as a rule, may pass without improvement: with the last of
            them the stage is done.
        mode: ``min`` where less is better, ``max`` where more is. None is what the
            ``better`` of a metric in the config says; where nothing says it, it is ``min``.

    Raises:
        ValueError: An argument is not one of these.
    """

    asked_within_epoch = True

    def __init__(
        self, monitor: str, min_delta: float = 0.0, patience: int = 1, mode: str | None = None
    ) -> None:
        _check_mode(mode)
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be at least 0, found {min_delta}")
        if patience < 1:
            raise ValueError(f"patience must be at least 1, found {patience}")
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.mode = mode

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether the last ``patience`` rows brought nothing. NaN is never an improvement.

        Raises:
            DataError: ``monitor`` is not measured in this stage.
        """
        sign = -1 if self.mode == "max" else 1
        best, waited = math.inf, 0
        for value in _values(history, self.monitor):
            if best - sign * value > self.min_delta:
                best, waited = sign * value, 0
            else:
                waited += 1
        return waited >= self.patience


class TimeElapsed:
    """Done, as soon as it is asked, once the rows of the stage have taken a given time.

    It is asked at the end of each epoch, and after each validation within one.

    Args:
        seconds: Seconds, to which
        minutes: minutes and
        hours: hours are added.

    Raises:
        ValueError: One is negative, or the sum is 0.
    """

    asked_within_epoch = True

    def __init__(self, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        total = seconds + 60 * minutes + 3600 * hours
        if min(seconds, minutes, hours) < 0 or not total > 0:
            raise ValueError(
                "seconds, minutes and hours must not be negative and one must be more than 0, "
                f"found {seconds}, {minutes} and {hours}"
            )
        self.total_seconds = total

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether the ``seconds`` of all rows come to that time."""
        return math.fsum(float(row["seconds"]) for row in history) >= self.total_seconds


class TargetReached:
    """Done when a measured value is at least, or at most, a target.

    Args:
        monitor: The display name of a loss or metric.
        target: The value to reach.
        mode: ``max`` where the value must be at least the target, ``min`` where at most. None is
            what the metric says, likewise; where that says nothing, it is ``max``.

    Raises:
        ValueError: ``mode`` is neither, or ``target`` is NaN.
    """

    def __init__(self, monitor: str, target: float, mode: str | None = None) -> None:
        _check_mode(mode)
        if math.isnan(target):
            raise ValueError("target must be a number, found NaN")
        self.monitor = monitor
        self.target = target
        self.mode = mode

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether the last value that was measured reaches the target. NaN never does.

        Raises:
            DataError: ``monitor`` is not measured in this stage.
        """
        values = _values(history, self.monitor)
        if not values:
            return False
        return values[-1] <= self.target if self.mode == "min" else values[-1] >= self.target


class _Several:
    """Several conditions that are asked together; their states are stored together too."""

    def __init__(
        self, conditions: Sequence[StopCondition] | StopCondition, *more: StopCondition
    ) -> None:
        self.conditions = _gathered(conditions, more)

    def answers(self, epoch_in_stage: int, history: History) -> list[bool]:
        """What each says. All are asked, always: a condition of one's own may count calls.

        Within an epoch only those are that are asked there.
        """
        is_within = getattr(history, "ends_in_epoch", False)
        asked = [c for c in self.conditions if not is_within or _is_asked_within(c)]
        return [bool(condition(epoch_in_stage, history)) for condition in asked]

    def known_epochs(self) -> list[int]:
        """The numbers of epochs of those that say so in ``num_epochs``."""
        counts = (getattr(condition, "num_epochs", None) for condition in self.conditions)
        return [count for count in counts if isinstance(count, int)]

    def state_dict(self) -> dict[str, Any]:
        """The states of those conditions that have one, by their place in the list."""
        return {
            str(place): condition.state_dict()
            for place, condition in enumerate(self.conditions)
            if hasattr(condition, "state_dict")
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state_dict`` gave."""
        for place, part in state.items():
            condition: Any = self.conditions[int(place)]
            condition.load_state_dict(part)


class AnyOf(_Several):
    """Done when at least one of several conditions holds.

    Args:
        conditions: A list of stop conditions; or the first of them,
        more: and the others.

    Raises:
        ValueError: There is no condition, or something else among them.
    """

    @property
    def num_epochs(self) -> int | None:
        """The most epochs that there may be; None where no condition sets a number."""
        return min(self.known_epochs(), default=None)

    @property
    def asked_within_epoch(self) -> bool:
        """Whether one of them is asked within epochs."""
        return any(map(_is_asked_within, self.conditions))

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether one holds."""
        return any(self.answers(epoch_in_stage, history))


class AllOf(_Several):
    """Done when all of several conditions hold after the same epoch.

    Args:
        conditions: A list of stop conditions; or the first of them,
        more: and the others.

    Raises:
        ValueError: There is no condition, or something else among them.
    """

    @property
    def num_epochs(self) -> int | None:
        """How many epochs there will be; None unless every condition sets a number."""
        counts = self.known_epochs()
        return max(counts) if len(counts) == len(self.conditions) else None

    @property
    def asked_within_epoch(self) -> bool:
        """Whether all of them are asked within epochs."""
        return all(map(_is_asked_within, self.conditions))

    def __call__(self, epoch_in_stage: int, history: History) -> bool:
        """Whether all hold."""
        return all(self.answers(epoch_in_stage, history))


def _is_asked_within(condition: StopCondition) -> bool:
    return getattr(condition, "asked_within_epoch", False) is True


def _gathered(
    conditions: Sequence[StopCondition] | StopCondition, more: tuple[StopCondition, ...]
) -> list[StopCondition]:
    first = list(conditions) if isinstance(conditions, Sequence) else [conditions]
    gathered = [*first, *more]
    if not gathered:
        raise ValueError("conditions must name at least one stop condition")
    for condition in gathered:
        if not callable(condition):
            raise ValueError(f"conditions must be stop conditions, found {condition!r}")
    return gathered
