"""The class of which every callback is, and the mark of methods that hear events of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from torchassistant.callbacks.events import (
    BackwardEndEvent,
    CheckpointEvent,
    EpochEndEvent,
    EpochStartEvent,
    ExceptionEvent,
    IterationEndEvent,
    IterationEvent,
    StageEndEvent,
    StageStartEvent,
    StepEndEvent,
    StepStartEvent,
    TrainEndEvent,
    TrainStartEvent,
    ValidationBatchEvent,
    ValidationEndEvent,
    ValidationStartEvent,
)

Method = TypeVar("Method", bound=Callable[..., Any])


class Callback:
    """Is called at the places of a run whose methods it overrides; the others cost nothing.

    With a ``state_dict`` and a ``load_state_dict`` of its own it has a state, which is stored; so
    are random number generators that it keeps as attributes.

    Attributes:
        columns: The columns of the history that it adds values for: names, or a method that gives
            them for a session. They are asked for before a stage begins.
        draws: Whether its methods that are called within iterations draw from the global random
            number generators of torch, NumPy and Python; these are put back then. Around its other
            methods they always are.
        only_first: Whether only the first of several processes calls it, as it writes files.
        name: What it is called where ``session.train`` is given it; empty: as its class.
    """

    columns: Sequence[str] | Callable[[Any], Sequence[str]] = ()
    draws: ClassVar[bool] = False
    only_first: ClassVar[bool] = False
    name: str = ""

    def on_train_start(self, event: TrainStartEvent) -> None:
        """Training begins, in each process that trains the session."""

    def on_stage_start(self, event: StageStartEvent) -> None:
        """A stage begins."""

    def on_epoch_start(self, event: EpochStartEvent) -> None:
        """An epoch begins."""

    def on_iteration_start(self, event: IterationEvent) -> None:
        """The first batches of an iteration of the stage are there."""

    def on_step_start(self, event: StepStartEvent) -> None:
        """A pipeline is about to train on the batches of a step."""

    def on_backward_end(self, event: BackwardEndEvent) -> None:
        """The gradients of a step are computed, and may be changed; clippers come next.

        In a step of one's own that is before each ``event.step``; of an optimizer that demands a
        closure, in each call of it.
        """

    def on_step_end(self, event: StepEndEvent) -> None:
        """The optimizers of a pipeline have stepped; not called for a batch that is left out."""

    def on_iteration_end(self, event: IterationEndEvent) -> None:
        """Every pipeline has done its part of an iteration."""

    def on_validation_start(self, event: ValidationStartEvent) -> None:
        """A validation pipeline begins."""

    def on_validation_batch_end(self, event: ValidationBatchEvent) -> None:
        """A batch of a validation pipeline is done."""

    def on_validation_end(self, event: ValidationEndEvent) -> None:
        """A validation pipeline is done."""

    def on_epoch_end(self, event: EpochEndEvent) -> None:
        """The row of an epoch is made; schedulers and the stop condition come next."""

    def on_checkpoint(self, event: CheckpointEvent) -> None:
        """The state is stored."""

    def on_stage_end(self, event: StageEndEvent) -> None:
        """A stage is done, and stored."""

    def on_train_end(self, event: TrainEndEvent) -> None:
        """Every stage is done, and stored."""

    def on_exception(self, event: ExceptionEvent) -> None:
        """Training ends by an exception; ``on_train_end`` is not called then."""


HEARD = "_hears_events"


def on(name: str) -> Callable[[Method], Method]:
    """Mark a method of a callback: it hears ``session.emit(name, …)``.

    It is called with an :class:`EmittedEvent`, and then with what ``emit`` was given.

    Args:
        name: Of the event.
    """

    def mark(method: Method) -> Method:
        setattr(method, HEARD, (*getattr(method, HEARD, ()), name))
        return method

    return mark
