"""What happens while a stage is trained: one closed list of events, and who listens to them.

What only watches the loop (the clock, the NaN guard, debug pipelines, a reporter, a profiler) is a
:class:`Listener`. The handlers of each event are looked up when a stage begins, by
:func:`handlers_of`: an event without any is a loop over an empty tuple, or no code at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from torch import Tensor
from torch.optim import Optimizer

from torchassistant.frames import Frames
from torchassistant.graph import Node, Processor, Watched
from torchassistant.training.losses.metric_values import Results
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress, Row

Live = Callable[[], dict[str, float]]
"""Gives the running losses and the metrics of the batch at hand, by display name."""

Shares = dict[str, float]
Spent = dict[str, float]
"""The seconds of each phase since the last row, or since the run went on."""
"""The fraction of an epoch's time that each phase took; together they are 1."""

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


class Batch(NamedTuple):
    """One batch in training.

    Args:
        iteration: The iteration over all stages, from 1.
        numbers: The places of the batches in their epoch, from 0.
        frames: Of all ports and processors.
        losses: Each with its display name, the processor it is computed from, its value, and the
            number of terms that this is a mean of.
        optimizers: Whose gradients are computed; empty for all of its pipeline's.
        is_repeated: Whether a closure computes it again for the same step.
        part: Where batches are cut, the part that is not finite, if one is.
    """

    iteration: int
    numbers: range
    frames: Frames
    losses: Sequence[tuple[Any, ...]]
    optimizers: Sequence[Optimizer] = ()
    is_repeated: bool = False
    part: int = 0


class Part(Enum):
    """A part of a step, or of an evaluation, that is one call; all but two have a name."""

    PIPELINE = "pipeline"
    """A whole step of a pipeline."""
    DATA = "data"
    PROCESSOR = "processor"
    NODE = "node"
    LOSS = "loss"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    CALLBACK = "callback"


class Phase(Enum):
    """What an epoch is made of beside the steps."""

    METRICS = "metrics"
    VALIDATION = "validation"
    SCHEDULERS = "schedulers"
    CHECKPOINT = "checkpoint"


class Listener:
    """Is called when something happens. Override what is of interest; the rest is not called.

    The events, in the order of the loop::

        stage_started
        until the stop condition holds:
            epoch_started
            until every training pipeline is through its batches:
                for each training pipeline whose turn it is:
                    step_started
                    for each batch of the step, for each loader: batch_loaded
                    batches_received         (or pass_finished, where no batch was left)
                    for each batch of the step:
                        losses_computed
                        batch_accumulated    (unless it is the last one)
                    gradients_computed, gradients_final
                    step_finished            (unless the batches were left out)
                iteration_done
                evaluations within the epoch, where they are due, and row_added
            for each validation pipeline:
                evaluation_started, measuring_started
                for each batch: batch_measured, batch_evaluated
                evaluation_measured, evaluation_finished
            epoch_timed
            epoch_finished
        stage_finished

    ``part_started`` and ``part_finished`` stand around calls within steps and evaluations,
    ``phase_started`` and ``phase_finished`` around what is done between the steps.
    """

    def stage_started(self, progress: Progress, stages: int, epochs: int | None) -> None:
        """A stage begins or goes on; ``epochs`` is how many it has at most, if known."""

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        """An epoch begins; ``iterations`` is how many it will have, if that is known."""

    def step_started(self, pipeline: Pipeline) -> None:
        """A pipeline is about to wait for the batches of its next step."""

    def batch_loaded(self, pipeline: Pipeline, loader: str, batch: Any) -> None:
        """A loader factory, by its name, gave a batch; its columns are not named yet."""

    def batches_received(self, pipeline: Pipeline) -> None:
        """All batches of a step are there."""

    def pass_finished(self, pipeline: Pipeline) -> None:
        """There was no batch left: the pipeline sits out the rest of the epoch."""

    def losses_computed(self, batch: Batch, total: Tensor) -> None:
        """The losses of a batch, and what is minimised, a scalar; no gradient yet."""

    def part_computed(self, place: int, part: int, frames: Frames) -> None:
        """Where batches are cut: one part of a batch of the step is computed; before its losses.

        ``place`` is the place of the batch in its step, ``part`` the number of the part.
        """

    def batch_accumulated(self, pipeline: Pipeline) -> None:
        """The gradients of a batch of several are computed; the next batch follows."""

    def gradients_computed(self, batch: Batch, total: Tensor) -> None:
        """The gradients of a step are with the parameters, unscaled and not clipped."""

    def gradients_final(self, batch: Batch, total: Tensor) -> None:
        """The same, after all who look at them: they may be changed now.

        With a closure in each call of it; else where ``gradients_computed`` is.
        """

    def step_finished(self, pipeline: Pipeline) -> None:
        """Optimizers and schedulers have stepped."""

    def iteration_done(self, live: Live) -> None:
        """An iteration is done. ``live`` reads values from the device: call it seldom."""

    def part_started(self, part: Part, name: str) -> None:
        """A part of a step or an evaluation begins."""

    def part_finished(self, part: Part, name: str) -> None:
        """It is over; also where it raised."""

    def phase_started(self, phase: Phase) -> None:
        """A phase between the steps begins."""

    def phase_finished(self, phase: Phase) -> None:
        """It is over; also where it raised."""

    def evaluation_started(self, pipeline: str, batches: int | None) -> None:
        """A validation pipeline begins."""

    def measuring_started(self, pipeline: Pipeline) -> None:
        """The same, of a pipeline only, and not of an evaluator."""

    def batch_measured(self, pipeline: Pipeline, number: int, frames: Frames) -> None:
        """The same, while its frames are there: of all ports and processors."""

    def batch_evaluated(self) -> None:
        """A batch of a validation pipeline is done."""

    def evaluation_measured(self, pipeline: str, results: Results) -> None:
        """A validation pipeline is done, with these results."""

    def evaluation_finished(self, pipeline: str) -> None:
        """A validation pipeline is done."""

    def row_added(self, progress: Progress, row: Row) -> None:
        """A validation within an epoch is done, its row is written; the epoch goes on."""

    def epoch_timed(self, shares: Shares) -> None:
        """An epoch is about to be finished; ``shares`` says where its time went.

        By phase, as fractions of the time from its start, or from where the run went on with it,
        until its state was saved: ``data``, ``forward``, ``backward``, ``optimizer``, ``metrics``,
        ``validation``, ``checkpoint``, ``callbacks``, ``other``.
        """

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        """An epoch is done, its row is written."""

    def stage_finished(self, progress: Progress) -> None:
        """The stop condition holds."""


def handlers_of(
    listeners: Iterable[object], event: Callable[Concatenate[Any, P], None]
) -> tuple[Callable[P, None], ...]:
    """The methods that handle an event, bound, in the order of the listeners.

    Args:
        listeners: Those that may have overridden it.
        event: The method of the base class that stands for it, as ``Listener.step_started``.
    """
    methods = (getattr(listener, event.__name__, None) for listener in listeners)
    return tuple(m for m in methods if m is not None and getattr(m, "__func__", None) is not event)


def gradient_handlers_of(
    listeners: Sequence[object],
) -> tuple[Callable[[Batch, Tensor], None], ...]:
    """Who looks at the gradients of a step, and then who may change them."""
    looking = handlers_of(listeners, Listener.gradients_computed)
    return looking + handlers_of(listeners, Listener.gradients_final)


def emit(handlers: Iterable[Callable[P, None]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call the handlers of an event; for those that do not happen in every step."""
    for handle in handlers:
        handle(*args, **kwargs)


class Parts:
    """Puts events around calls; where nobody listens to them, a call stays what it is.

    Args:
        listeners: Of the loop.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.started = handlers_of(listeners, Listener.part_started)
        self.finished = handlers_of(listeners, Listener.part_finished)
        self.have_listeners = bool(self.started or self.finished)

    def around(self, call: F, part: Part, name: str = "") -> F:
        """The same call, with an event before and one after it."""
        if not self.have_listeners:
            return call

        def run(*args: Any) -> Any:
            for handle in self.started:
                handle(part, name)
            try:
                return call(*args)
            finally:
                for handle in self.finished:
                    handle(part, name)

        return cast(F, run)

    @property
    def of_graph(self) -> Watched | None:
        """The same for the processors and nodes of a graph; None without listeners."""
        return self._watched if self.have_listeners else None

    def _watched(self, processor: Processor, node: Node | None, call: F) -> F:
        if node is None:
            return self.around(call, Part.PROCESSOR, processor.name)
        if getattr(processor, "compiling", None) is not None:
            return call  # its nodes are compiled as one
        return self.around(call, Part.NODE, node.name)


class Phases:
    """Puts events around phases.

    Args:
        listeners: Of the loop.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.started = handlers_of(listeners, Listener.phase_started)
        self.finished = handlers_of(listeners, Listener.phase_finished)

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """What is done in here is of a phase."""
        emit(self.started, phase)
        try:
            yield
        finally:
            emit(self.finished, phase)
