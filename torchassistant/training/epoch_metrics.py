"""The metrics of a training pipeline over an epoch, of its batches as they were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from torchassistant.codec import CodecError
from torchassistant.data import derived, seeded
from torchassistant.errors import DataError, UserCodeError, UserError
from torchassistant.frames import Frame, Frames
from torchassistant.training.events import Batch, Listener
from torchassistant.training.linked_input import detached
from torchassistant.training.losses.losses_and_metrics import Metric
from torchassistant.training.losses.metric_values import Results
from torchassistant.training.metric_state import paths_in, set_state_of_metric, state_of_metric
from torchassistant.training.pipeline import Pipeline, PipelineMetric
from torchassistant.training.progress import Progress


class EpochMetrics(Listener):
    """Measures what a pipeline is trained on, without a forward pass of its own.

    What a batch gives is taken where its losses are computed, and counted when its step is made: a
    step that is left out leaves no trace. Nobody waits for a GPU here.

    Args:
        pipeline: Whose metrics.
        items: Those of them that are measured.
        run: Where the run is.
    """

    def __init__(self, pipeline: Pipeline, items: Sequence[PipelineMetric], run: Progress) -> None:
        self.pipeline = pipeline
        self.items = items
        self.run = run
        self.draws = any(draws(item.metric.function) for item in items)
        self.taken: list[tuple[Metric, Frame, int]] = []
        self.start({})

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin an epoch, or go on with one.

        Raises:
            DataError: The state does not fit the metrics.
        """
        self.metrics = [(item, item.metric.fresh()) for item in self.items]
        self.born_with = [paths_in(m.function, m.shared()) for _, m in self.metrics]
        self.taken.clear()
        self.before_row: dict[str, Any] | None = None
        self.steps = state.get("steps", 0)
        self.is_empty: bool = state.get("is_empty", True)
        for item, metric in self.metrics:
            if item.shown_as in state.get("metrics", {}):
                self._put_back(metric, state["metrics"][item.shown_as])

    def _put_back(self, metric: Metric, state: Any) -> None:
        device = metric.device or self.pipeline.graph.home
        try:
            set_state_of_metric(metric.function, state, metric.shared(), device)
        except Exception as error:
            message = f"the state of {metric.name} in this epoch does not fit its code: {error}"
            raise DataError(message) from error

    def state(self) -> dict[str, Any]:
        """What :meth:`start` goes on from: until a row is written, with all that it tells of.

        Raises:
            DataError: A metric keeps what cannot be stored.
        """
        if self.before_row is not None:
            return self.before_row
        return {
            "steps": self.steps,
            "is_empty": self.is_empty,
            "metrics": {
                item.shown_as: state_of_metric(m.function, m.shared(), m.name, born_with)
                for (item, m), born_with in zip(self.metrics, self.born_with, strict=True)
            },
        }

    def batches_received(self, pipeline: Pipeline) -> None:
        """What a step that was left out has given is forgotten."""
        self.taken.clear()

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        """See :class:`Listener`."""
        self.take(batch.frames)

    def step_finished(self, pipeline: Pipeline) -> None:
        """See :class:`Listener`."""
        with self._drawing(), torch.no_grad():
            for metric, frame, samples in self.taken:
                metric.update(frame, samples)
        self.taken.clear()
        self.steps += 1
        self.is_empty = False

    def take(self, frames: Frames) -> None:
        """Note what a batch gives the metrics."""
        for item, metric in self.metrics:
            whole = frames[item.node]
            frame = {name: detached(whole[name]) for name in metric.inputs if name in whole}
            self.taken.append((metric, frame, self.pipeline.graph.count_of(frames, item.node)))

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Metrics that draw random numbers leave those of the training alone."""
        if not self.draws:
            yield
            return
        name, epoch = self.pipeline.name, self.run.epoch
        with seeded(derived(self.pipeline.seed, "measured", name, epoch, self.steps)):
            yield

    def results(self) -> Results:
        """The metrics since the last row; they begin anew. Nothing where there was no batch."""
        results = Results()
        if not self.is_empty:
            # The validation that is to come may be cut.
            self.before_row = self.state()
            self.is_empty = True
            for item, metric in self.metrics:
                results.add(item.shown_as, metric.result())
        return results

    def start_row(self) -> None:
        """A row is written with what :meth:`results` gave."""
        self.before_row = None


class SharedMetrics(EpochMetrics):
    """The same where batches are cut into parts: every process measures all of them, in order."""

    def start(self, state: Mapping[str, Any]) -> None:
        """See :class:`EpochMetrics`."""
        super().start(state)
        self.parts: list[list[Any]] = []

    def batches_received(self, pipeline: Pipeline) -> None:
        """See :class:`EpochMetrics`."""
        super().batches_received(pipeline)
        self.parts.clear()

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        """The parts of the batch are here already."""

    def part_computed(self, place: int, part: int, frames: Frames) -> None:
        """See :class:`Listener`."""
        before = len(self.taken)
        self.take(frames)
        given = [[frame, samples] for _, frame, samples in self.taken[before:]]
        self.parts.append([place, part, given])

    def step_finished(self, pipeline: Pipeline) -> None:
        """See :class:`EpochMetrics`."""
        self.share()
        super().step_finished(pipeline)

    def share(self) -> None:
        """Let what the parts of all processes have given stand where that of this one does."""
        world = self.pipeline.world
        assert world is not None, "it is chosen where there is one"
        try:
            told = world.processes.gather_values(self.parts)
        except CodecError as error:
            message = f"what metrics are measured of cannot be sent to other processes: {error}"
            raise DataError(message) from None
        parts = sorted((part for some in told for part in some), key=lambda part: part[:2])
        self.parts.clear()
        self.taken[:] = [
            (metric, frame, samples)
            for _, _, given in parts
            for (_, metric), (frame, samples) in zip(self.metrics, given, strict=True)
        ]


class OwnStepMetrics(EpochMetrics):
    """The same where an object of the user makes the step: what it returns is measured.

    Args:
        pipeline: Whose metrics.
        items: Those of them that are measured.
        run: Where the run is.

    Attributes:
        frames: Gives the frames of the last step.
    """

    frames: Any = staticmethod(Frames)

    def losses_computed(self, batch: Batch, total: torch.Tensor) -> None:
        """The frames have not got their columns yet."""

    def step_finished(self, pipeline: Pipeline) -> None:
        """See :class:`EpochMetrics`."""
        self.take(self.frames())
        super().step_finished(pipeline)


class SharedOwnStepMetrics(SharedMetrics, OwnStepMetrics):
    """Both: an object of the user makes the step of each part."""

    def step_finished(self, pipeline: Pipeline) -> None:
        """See :class:`EpochMetrics`."""
        world = self.pipeline.world
        assert world is not None, "it is chosen where there is one"
        self.part_computed(0, world.own.start, self.frames())
        self.share()
        EpochMetrics.step_finished(self, pipeline)


def draws(metric: Any) -> bool:
    """Whether a metric draws random numbers when it counts: it says so, or is known to."""
    parts = metric.modules() if isinstance(metric, nn.Module) else [metric]
    return any(
        getattr(part, "draws", False) is True or type(part).__name__ == "BootStrapper"
        for part in parts
    )


def expect_storable(metric: Metric, fresh: Metric) -> None:
    """See that what a metric has counted can be stored in the middle of an epoch.

    Args:
        metric: One that has met a batch.
        fresh: One that has not.

    Raises:
        DataError: It keeps what cannot be stored.
        UserCodeError: Its ``state_dict`` raised.
    """
    try:
        born_with = paths_in(fresh.function, fresh.shared())
        state_of_metric(metric.function, metric.shared(), metric.name, born_with)
    except (UserError, UserCodeError):
        raise
    except Exception as error:
        raise UserCodeError(metric.name) from error
