"""What a callback is called with: one class of event for each place in a run.

An event shows the run as it is now. One object serves each callback and event for a whole stage:
what is to be kept has to be taken out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

Stop = Literal["", "stage", "training"]
"""What a callback has asked to end after the iteration at hand."""


class Counters(Protocol):
    """The progress of a run, as far as events show it."""

    step: int


class Own(Protocol):
    """What belongs to one callback of a run."""

    name: str
    generator: torch.Generator

    def add(self, name: str, value: Any, row: dict[str, Any] | None) -> None:
        """Note a value for the row that comes, or for this one."""

    def add_to_mean(self, name: str, value: Any, terms: Any, row: dict[str, Any] | None) -> None:
        """Note a value for a mean in the row that comes."""


def _nothing() -> dict[str, float]:
    return {}


@dataclass(slots=True, eq=False)
class Now:
    """What is happening; each event shows the part of it that is its own.

    Args:
        session: The session that is trained.
        progress: Its counters.
        stage: The index of the stage at hand, or of the one that ends.
        epoch: The number of the epoch at hand over all stages, from 1; between two epochs, of the
            one that is done.

    What else stands here is set before the events that show it.
    """

    session: Any
    progress: Counters
    stage: int = 0
    epoch: int = 0
    stop: Stop = ""
    resumed: bool = False
    iterations: int | None = None
    live: Callable[[], dict[str, float]] = _nothing
    iteration: int = 0
    pipeline: str = ""
    repeat: int = 0
    is_repeated: bool = False
    models: Mapping[str, nn.Module] = field(default_factory=dict)
    optimizers: Mapping[str, Optimizer] = field(default_factory=dict)
    batches: Sequence[Mapping[str, Mapping[str, Any]]] = ()
    losses: Callable[[], dict[str, float]] = _nothing
    batch: int = 0
    frames: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    row: dict[str, Any] | None = None
    open_row: dict[str, Any] | None = None
    checkpoint: Path = field(default_factory=Path)
    error: BaseException | None = None
    called: str = ""


class Event:
    """What every event shows, and lets a callback do.

    Args:
        now: What is happening.
        own: What belongs to the callback.
    """

    __slots__ = ("_now", "_own")

    def __init__(self, now: Now, own: Own) -> None:
        self._now = now
        self._own = own

    @property
    def session(self) -> Any:
        """The session: ``models``, ``optimizers``, ``history``, ``path`` and all the rest."""
        return self._now.session

    @property
    def name(self) -> str:
        """The name of the callback in the run."""
        return self._own.name

    @property
    def generator(self) -> torch.Generator:
        """Random numbers of the callback's own, on the CPU; their state is stored."""
        return self._own.generator

    @property
    def stage(self) -> int:
        """The index of the stage, from 0."""
        return self._now.stage

    @property
    def epoch(self) -> int:
        """The number of the epoch at hand over all stages, from 1.

        Between two epochs it is that of the one that is done; 0 before the first.
        """
        return self._now.epoch

    @property
    def step(self) -> int:
        """The number of iterations over all stages that are done."""
        return self._now.progress.step

    def stop_stage(self) -> None:
        """End the stage: after the iteration at hand, a validation, and a row."""
        self._now.stop = self._now.stop or "stage"

    def stop_training(self) -> None:
        """End the training in the same way; the session is done, whatever stages are left."""
        self._now.stop = "training"


class RowEvent(Event):
    """An event after which a row of the history is to come."""

    __slots__ = ()

    def add(self, name: str, value: float | torch.Tensor) -> None:
        """Give a value for a column of the next row; of several for one, the last counts.

        Args:
            name: One of the ``columns`` of the callback.
            value: A number, or a tensor with one element. A tensor is read when the row is written.

        Raises:
            DataError: It is neither, or the callback has no such column.
        """
        self._own.add(name, value, self._now.open_row)

    def add_to_mean(
        self, name: str, value: float | torch.Tensor, terms: int | torch.Tensor = 1
    ) -> None:
        """Give a value for a column of the next row, which is the mean over all that it is given.

        Args:
            name: One of the ``columns`` of the callback; not one that :meth:`add` gives values.
            value: A number, or a tensor with one element. One on a GPU is read when the row is
                written.
            terms: Of how many terms it is the mean, as a number or a tensor with one element; with
                0 it does not count, whatever it is.

        Raises:
            DataError: It is neither, or the callback has no such column; or the row is made.
        """
        self._own.add_to_mean(name, value, terms, self._now.open_row)


class TrainStartEvent(RowEvent):
    """Training begins in this process."""

    __slots__ = ()

    @property
    def resumed(self) -> bool:
        """Whether an earlier process, or an earlier call, has trained the session already."""
        return self._now.resumed


class StageStartEvent(RowEvent):
    """A stage begins; its models stand where its ``start_from`` and ``reset`` have taken them."""

    __slots__ = ()


class EpochStartEvent(RowEvent):
    """An epoch begins."""

    __slots__ = ()

    @property
    def iterations(self) -> int | None:
        """How many iterations it will have, where that is known."""
        return self._now.iterations


class IterationEvent(RowEvent):
    """An iteration of the stage begins."""

    __slots__ = ()

    @property
    def iteration(self) -> int:
        """Its number over all stages, from 1."""
        return self._now.iteration

    def live(self) -> dict[str, float]:
        """The running losses by column, and the metrics of the batch at hand.

        Waits for the device: call it seldom.
        """
        return self._now.live()


class IterationEndEvent(IterationEvent):
    """An iteration of the stage is done."""

    __slots__ = ()

    @property
    def iteration(self) -> int:
        """Its number over all stages, from 1."""
        return self._now.progress.step


class StepStartEvent(RowEvent):
    """A pipeline is about to train on the batches of one step."""

    __slots__ = ()

    @property
    def iteration(self) -> int:
        """The number of the iteration over all stages, from 1."""
        return self._now.iteration

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self._now.pipeline

    @property
    def repeat(self) -> int:
        """Which of its steps in this iteration it is, from 0."""
        return self._now.repeat

    @property
    def batches(self) -> Sequence[Mapping[str, Mapping[str, Any]]]:
        """The frames of each batch of the step: one, or as many as are accumulated."""
        return self._now.batches

    @property
    def frames(self) -> Mapping[str, Mapping[str, Any]]:
        """The columns of the last batch, by port, and by processor as far as these have run.

        Tensors (B, …) or lists of B values; they are those that are computed with.
        """
        return self._now.frames

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The models of the pipeline's graph and losses, by name."""
        return self._now.models

    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        """The optimizers of the pipeline, by name."""
        return self._now.optimizers


class BackwardEndEvent(StepStartEvent):
    """The gradients of a step are with the parameters: summed, unscaled, not clipped.

    They may be changed here, and nowhere else.
    """

    __slots__ = ()

    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        """The optimizers that are about to step, by name."""
        return self._now.optimizers

    @property
    def is_repeated(self) -> bool:
        """Whether an optimizer that demands a closure calls it again in the same step."""
        return self._now.is_repeated


class StepEndEvent(StepStartEvent):
    """Optimizers and schedulers of a pipeline have stepped."""

    __slots__ = ()

    @property
    def losses(self) -> Mapping[str, float]:
        """The losses of the step's last batch, by display name. Waits for the device."""
        return self._now.losses()


class ValidationStartEvent(RowEvent):
    """A validation pipeline begins."""

    __slots__ = ()

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self._now.pipeline


class ValidationBatchEvent(ValidationStartEvent):
    """A batch of a validation pipeline is done."""

    __slots__ = ()

    @property
    def batch(self) -> int:
        """Its place in the pass, from 0."""
        return self._now.batch

    @property
    def frames(self) -> Mapping[str, Mapping[str, Any]]:
        """Its columns by port and by processor; they are gone when the next batch is loaded."""
        return self._now.frames


class ValidationEndEvent(ValidationStartEvent):
    """A validation pipeline is done."""

    __slots__ = ()

    @property
    def results(self) -> Mapping[str, float]:
        """Its losses and metrics, by column."""
        return self._now.results

    @property
    def data(self) -> Mapping[str, Any]:
        """What metrics gave as tensors, by column."""
        return self._now.data


class EpochEndEvent(RowEvent):
    """An epoch is done, and its row is made; what is added now still stands in it."""

    __slots__ = ()

    @property
    def row(self) -> Mapping[str, Any]:
        """The row of the history, by column; None stands for what was not measured."""
        assert self._now.row is not None, "it is made before this event"
        return dict(self._now.row)


class CheckpointEvent(Event):
    """The state is stored. What a callback does now is not part of that state."""

    __slots__ = ()

    @property
    def path(self) -> Path:
        """The folder of the checkpoint; it is removed when others take its place."""
        return self._now.checkpoint


class StageEndEvent(Event):
    """A stage is done, and stored."""

    __slots__ = ()


class TrainEndEvent(Event):
    """Every stage is done, and stored."""

    __slots__ = ()


class ExceptionEvent(Event):
    """Training ends by an exception, which goes on afterwards."""

    __slots__ = ()

    @property
    def error(self) -> BaseException:
        """What was raised; an ``Interrupted`` where a signal has asked for the end."""
        assert self._now.error is not None, "it is set before this event"
        return self._now.error


class EmittedEvent(RowEvent):
    """Somebody has called ``session.emit``."""

    __slots__ = ()

    @property
    def called(self) -> str:
        """The name of the event."""
        return self._now.called
