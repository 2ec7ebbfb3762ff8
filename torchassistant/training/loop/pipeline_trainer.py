"""Training over one pipeline: its pass over the data, and a step for each turn it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torchassistant.errors import DataError, UserCodeError
from torchassistant.frames import Frames
from torchassistant.training.data_pass import DataPass
from torchassistant.training.epoch_metrics import (
    EpochMetrics,
    OwnStepMetrics,
    SharedMetrics,
    SharedOwnStepMetrics,
)
from torchassistant.training.events import Listener, Part, Parts, handlers_of
from torchassistant.training.losses.metric_values import Results
from torchassistant.training.losses.running_losses import BatchMetrics
from torchassistant.training.nan_guard import BatchNotFinite, NotFinite, explained
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import PassProgress, Progress, StopRequest
from torchassistant.training.stage import Stage
from torchassistant.training.steps.step_kinds import train_step_of

Perform = Callable[[Sequence[Frames], range, int], int]
"""Makes a step: see :meth:`TrainStep.perform`."""

_SMALLEST_SCALE = 2.0**-24
"""Of a loss; it is halved whenever a gradient is not finite."""


class PipelineTrainer:
    """Trains over one pipeline, pass after pass.

    Args:
        pipeline: What is trained.
        stage: The stage that it is trained in.
        stop: Knows whether the run waits for data.
        listeners: Of steps.
        run: Where the run is.

    Attributes:
        progress: How far its pass is; its losses as of the last :meth:`settle`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        stage: Stage,
        stop: StopRequest,
        listeners: Sequence[Listener],
        run: Progress,
    ) -> None:
        self.pipeline = pipeline
        self.epoch_metrics = _epoch_metrics_of(pipeline, stage, run)
        if self.epoch_metrics is not None:
            listeners = [*listeners, self.epoch_metrics]
        self.train_step = train_step_of(pipeline, stage, listeners, run)
        self.perform: Perform = self.train_step.perform
        if isinstance(self.epoch_metrics, OwnStepMetrics):
            self.epoch_metrics.frames = lambda: self.train_step.frames
        self.metrics = BatchMetrics(pipeline)
        loaded = handlers_of(listeners, Listener.batch_loaded)
        self.data = pipeline.training_data([partial(listen, pipeline) for listen in loaded])
        self.data_pass = DataPass(self.data, stop)
        self.pieces = pipeline.pieces
        self.pieces_of_step = pipeline.accumulated * self.pieces
        self.progress = PassProgress()
        self.is_resumed_when_done = False
        self.step_started = handlers_of(listeners, Listener.step_started)
        self.batches_received = handlers_of(listeners, Listener.batches_received)
        self.pass_finished = handlers_of(listeners, Listener.pass_finished)
        parts = Parts(listeners)
        self.step = parts.around(self._step, Part.PIPELINE, pipeline.name)
        self.next_batch = parts.around(self.data_pass.next, Part.DATA)

    def start_epoch(self, progress: PassProgress) -> None:
        """Begin an epoch, or go on with one.

        Args:
            progress: How far its pass over the data is; brought forward here.
        """
        self.progress = progress
        # What a pass that is done has drawn stays drawn: its sampler may have gone on since.
        self.is_resumed_when_done = progress.done
        if not progress.done:
            self.start_pass(progress)
        self.train_step.losses.start(progress.losses)
        if self.epoch_metrics is not None:
            self.epoch_metrics.start(progress.metrics)
        self.train_step.start_epoch()

    def start_pass(self, progress: PassProgress) -> None:
        """Begin a pass over the data, or go on with one."""
        if self.train_step.carrying is not None:
            self.train_step.carrying.start(progress.carry)
        self.start_data(progress)

    def start_data(self, progress: PassProgress) -> None:
        """Begin to load the data of a pass, or go on with that."""
        self.data_pass.start(progress.number or 0, progress.batches, progress.data)

    def data_state(self) -> Any:
        """What its loaders need to give the rest of the pass."""
        return self.data.state(self.progress.batches)

    def leave_pass(self, is_whole: bool = False) -> None:
        """End what loads the data of the pass; ``is_whole`` says that the epoch is done."""
        self.data_pass.close()

    @property
    def iterations(self) -> int:
        """How many iterations of this pass are done."""
        return -(-self.progress.batches // self.pipeline.accumulated)

    @property
    def is_known_to_be_through(self) -> bool:
        """Whether it is known, without loading anything, that its pass has no batch left."""
        known = self.data.known_length()
        return self.progress.done or (known is not None and self.progress.batches >= known)

    def length(self) -> int | None:
        """The number of steps in one pass, or None where a dataset does not say."""
        batches = self.data.length()
        return None if batches is None else -(-batches // self.pipeline.accumulated)

    def _step(self, iteration: int) -> bool:
        """Take the batches of one step, and train on them.

        Args:
            iteration: Its number over all stages, from 1.

        Returns:
            Whether there was a batch left.

        Raises:
            NotFinite: A loss or a gradient is not finite.
            Interrupted: The run is to be stopped, and no batch has arrived.
        """
        for handle in self.step_started:
            handle(self.pipeline)
        # All are there before anything is computed: an interrupted wait leaves no trace.
        window: list[Frames] = []
        while len(window) < self.pieces_of_step and (frames := self.next_batch()) is not None:
            window.append(frames)
        if not window:
            self.progress.done = True
            for handle in self.pass_finished:
                handle(self.pipeline)
            return False
        for handle in self.batches_received:
            handle(self.pipeline)
        done = self.progress.batches
        numbers = range(done, done + len(window) // self.pieces)
        try:
            self.progress.skipped += self.data_pass.run(self.perform, window, numbers, iteration)
        except BatchNotFinite as error:
            raise self._explained(error) from None
        except UserCodeError as error:
            whole = f'the pipeline "{self.pipeline.name}"'
            raise error.in_part_of(whole) from error.__cause__
        self.progress.batches = numbers.stop
        return True

    def _explained(self, error: BatchNotFinite) -> NotFinite:
        found = explained(error, self.pipeline.name, self.pipeline.graph, self.data)
        world = self.pipeline.world
        if world is None:
            return found
        # Whose part it is knows most of it.
        told = world.processes.gather_values(str(found))
        return NotFinite(told[world.holder_of(error.batch.part)])

    @property
    def gave_nothing(self) -> bool:
        """Whether its data has no batch, once the epoch is done."""
        return not self.progress.batches

    def settle(self) -> None:
        """Wait until it is known that every step so far was finite, and note the losses.

        Raises:
            NotFinite: One was not.
        """
        self._wait_for_guard()
        self.progress.losses = self.train_step.losses.state()
        if self.train_step.carrying is not None:
            self.progress.carry = self.train_step.carrying.state()
        if self.epoch_metrics is not None:
            self.progress.metrics = self.epoch_metrics.state()
        if not self.is_resumed_when_done:
            self.progress.data = self.data_state()

    def _wait_for_guard(self) -> None:
        try:
            self.train_step.guard.settle()
        except BatchNotFinite as error:
            raise self._explained(error) from None

    def live(self) -> dict[str, float]:
        """The running losses, and the metrics of the batch at hand."""
        return self.train_step.losses.values() | self.metrics.of(self.train_step.frames)

    def start_row(self) -> None:
        """A row is written: the means of losses, and what is counted, begin anew."""
        self.train_step.losses.start({})
        self.progress.losses = {}
        self.progress.skipped = 0
        if self.epoch_metrics is not None:
            self.epoch_metrics.start_row()
            self.progress.metrics = self.epoch_metrics.state()

    def results_since_row(self) -> Results:
        """What was measured since the last row, or the beginning of the epoch: once for each row.

        Losses, and metrics where they are measured in training; nothing without a batch. Losses of
        batches that were all skipped are NaN: these were met.
        """
        losses = self.train_step.losses
        results = Results() if self.epoch_metrics is None else self.epoch_metrics.results()
        results.numbers |= losses.values() if self.progress.skipped else losses.measured()
        return results

    def finish_epoch(self) -> Results:
        """What was measured over the epoch, as it was when each batch was trained on.

        Raises:
            DataError: The epoch had no batch.
            NotFinite: A loss or a gradient was not finite.
        """
        if self.gave_nothing:
            raise DataError(
                f'the loaders of the pipeline "{self.pipeline.name}" give no batch; with '
                '"drop_last" a dataset that is smaller than a batch gives none'
            )
        self._wait_for_guard()
        self.train_step.forget_frames()
        scaler = self.pipeline.scaler
        if scaler is not None and scaler.get_scale() < _SMALLEST_SCALE:
            raise NotFinite(
                f'the gradients of the pipeline "{self.pipeline.name}" are infinite or NaN in '
                '"fp16", however small the losses are made; "bf16" has the range of float32'
            )
        return self.results_since_row()


def _epoch_metrics_of(pipeline: Pipeline, stage: Stage, run: Progress) -> EpochMetrics | None:
    measured = stage.measured(pipeline)
    if not measured:
        return None
    is_own, is_shared = pipeline.train_step is not None, pipeline.world is not None
    kind = _METRICS[is_own, is_shared]
    return kind(pipeline, measured, run)


_METRICS = {
    (False, False): EpochMetrics,
    (True, False): OwnStepMetrics,
    (False, True): SharedMetrics,
    (True, True): SharedOwnStepMetrics,
}
"""What measures in training: by whether a step is the user's own, and whether it is shared."""
