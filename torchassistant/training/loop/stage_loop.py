"""The loop that trains a stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TypeVar

from torchassistant.errors import Interrupted, blaming
from torchassistant.training.callback_run import CallbackRun
from torchassistant.training.evaluation.debug_pipeline import DebugPipelines
from torchassistant.training.evaluation.validation import Measured, Validation
from torchassistant.training.events import Listener, Phase, Phases, emit, handlers_of
from torchassistant.training.loop.interleaving import Between, Interleaving, Turns
from torchassistant.training.loop.pipeline_trainer import PipelineTrainer
from torchassistant.training.loop.stage_length import iterations_of_epoch
from torchassistant.training.loop.turn_trainer import TurnTrainer
from torchassistant.training.losses.metric_values import Data, Results
from torchassistant.training.progress import (
    EpochProgress,
    Progress,
    Row,
    StageHistory,
    StopRequest,
)
from torchassistant.training.reporter import Reporter
from torchassistant.training.schedulers import Scheduler, schedulers_at, step_at_epoch
from torchassistant.training.stage import SKIPPED, Checkpointer, Stage, freezing
from torchassistant.training.stage_callbacks import StageCallbacks
from torchassistant.training.step_log import StepLog
from torchassistant.training.step_rows import StepRows
from torchassistant.training.timing import timing_on

T = TypeVar("T")


def train_stage(
    stage: Stage,
    progress: Progress,
    history: StageHistory,
    checkpointer: Checkpointer,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    callbacks: CallbackRun | None = None,
) -> None:
    """Train until the stop condition holds, or a callback asks for the end.

    In short::

        until the stop condition holds:
            what is to run before each epoch
            until every training pipeline is through its batches:
                for each training pipeline that has a batch left:
                    forward, losses, backward, clippers, step
                debug pipelines whose interval is over
                a row of running losses, learning rates and gradient norms, where that is due
                save the state, where that is due
                validation, a row, and the stop condition, where that is due within the epoch
            averages over epochs follow their models
            evaluate the validation pipelines; call the evaluators that are due
            a row: their results, and the losses that only training has
            schedulers step; the stop condition is asked
            add the row to the history; save the state, where that is due

    What only watches is a listener; the events, and when they happen, are in ``events``.

    Args:
        stage: What is trained.
        progress: Where the run is; brought forward here.
        history: The rows of this stage so far; new ones are appended.
        checkpointer: Writes rows and saves the state.
        reporter: Is called when something happens.
        stop: Ends training after the iteration at hand; the state is saved then.
        callbacks: Of the run; left out where there are none.

    Raises:
        Interrupted: ``stop`` asked for it.
        NotFinite: A loss or a gradient is not finite.
    """
    index = progress.stage
    loop = _StageLoop(
        stage,
        progress,
        history,
        checkpointer,
        reporter or Reporter(),
        stop or StopRequest(),
        callbacks,
    )
    with freezing(stage), closing(loop):
        while progress.stage == index:
            loop.start_epoch()
            with loop.saving_on_interrupt():
                row = loop.last_row() if loop.train_epoch() else None
            loop.finish_epoch(row)
    loop.finish()


class _StageLoop:
    """What the loop works with; the state of the run is in ``progress`` and nowhere else.

    Args:
        stage: What is trained.
        progress: Where the run is.
        history: The rows of this stage.
        checkpointer: Writes rows and saves the state.
        reporter: Is called when something happens.
        stop: Ends training after the iteration at hand.
        run: The callbacks of the run, if there are any.
    """

    def __init__(
        self,
        stage: Stage,
        progress: Progress,
        history: StageHistory,
        checkpointer: Checkpointer,
        reporter: Reporter,
        stop: StopRequest,
        run: CallbackRun | None,
    ) -> None:
        self.stage = stage
        self.index = progress.stage
        self.progress = progress
        self.history = history
        self.checkpointer = checkpointer
        self.stop = stop
        self.timing = timing_on(stage.device)
        self.listeners: list[Listener] = [self.timing, reporter]
        self.callbacks: StageCallbacks | None = None
        if run is not None:
            self.callbacks = StageCallbacks(run, self.index, self.timing, [reporter], self.live)
            self.listeners.insert(1, self.callbacks)
        if stage.debug:
            self.listeners.insert(
                0, DebugPipelines(stage.debug, progress, checkpointer.add_picture)
            )
        if stage.log is not None:
            self._add_step_rows(stage.log)
        self.turn_trainers = self._turn_trainers() if stage.takes_turns else []
        self.trainers: Sequence[PipelineTrainer] = self.turn_trainers or [
            PipelineTrainer(pipeline, stage, stop, self.listeners, progress)
            for pipeline in stage.training
        ]
        if self.callbacks is not None:
            for trainer in self.trainers:
                trainer.perform = self.callbacks.around_steps_of(trainer)
        noting = None if self.callbacks is None else self.callbacks.noted
        self.validation = Validation(stage, checkpointer, stop, self.listeners, noting)
        self.averages = stage.epoch_averages
        self.evaluator_columns = stage.evaluator_columns
        self.phases = Phases(self.listeners)
        self.iteration_done = handlers_of(self.listeners, Listener.iteration_done)
        self.epoch = EpochProgress(0, 0.0, {})
        # Of the epoch, or since its last row, on the monotonic clock, less what it took before.
        self.started = 0.0
        self.unvalidated = {pipeline.name: Results() for pipeline in stage.validation}
        self.data: dict[str, Data] = {}
        """What metrics gave as tensors for the row at hand."""
        self.ending: Row | None = None
        """The row within an epoch after which the stage ends."""
        self.is_ending_new = True

    def _add_step_rows(self, log: StepLog) -> None:
        if not self.progress.has_begun_stage:
            log.start_stage()
        phases = Phases(self.listeners)
        rows = StepRows(log, self.stage, self.progress, self.checkpointer, phases)
        self.listeners.append(rows)

    def _turn_trainers(self) -> list[TurnTrainer]:
        stage, stop, listeners = self.stage, self.stop, self.listeners
        trainers = {
            pipeline.name: TurnTrainer(pipeline, stage, stop, listeners, self.progress, turn)
            for pipeline, turn in zip(stage.training, stage.all_turns, strict=True)
        }
        for trainer in trainers.values():
            trainer.link(trainers)
        return list(trainers.values())

    def start_epoch(self) -> None:
        """Begin an epoch, or go on with one."""
        self.timing.start()
        if self.progress.within is None:
            for one in self.stage.before_epoch:
                one.run(self.progress.epoch + 1, self.stop, self.stage.world)
        names = [trainer.pipeline.name for trainer in self.trainers]
        self.epoch = epoch = self.progress.start_epoch(names)
        self.started = time.monotonic() - epoch.seconds
        # Losses keep the mode that they were built in: one may hold a frozen network.
        self.stage.set_training()
        for trainer in self.trainers:
            trainer.start_epoch(epoch.passes[trainer.pipeline.name])
        lengths = {trainer.pipeline.name: trainer.length() for trainer in self.trainers}
        total = iterations_of_epoch(
            self.stage, lengths, self.progress.stage_step - epoch.iterations
        )
        emit(handlers_of(self.listeners, Listener.epoch_started), self.progress, total)

    @contextmanager
    def saving_on_interrupt(self) -> Iterator[None]:
        """Save the state where the run is stopped in here, unless an iteration was cut in two."""
        try:
            yield
        except Interrupted:
            if not self.stop.at_once:
                self.stop.saving = True
                self.checkpointer.save()
            raise

    def train_epoch(self) -> bool:
        """The rest of a pass over the data; False where the stage ends before it is over."""
        progress, stop = self.progress, self.stop
        interleaving = self._interleaving()
        is_whole = False
        try:
            while interleaving.run_iteration(progress.step + 1):
                progress.step += 1
                progress.stage_step += 1
                self.epoch.iterations += 1
                for handle in self.iteration_done:
                    handle(self.live)
                if self.checkpointer.is_save_due(progress.step) and stop.signum is None:
                    self.settle()
                    with self.phases.during(Phase.CHECKPOINT):
                        self.checkpointer.save()
                stop.check()
            self.settle()
            is_whole = self.ending is None
        except Interrupted:
            if not stop.at_once:
                self.settle()
            raise
        finally:
            for trainer in self.trainers:
                trainer.leave_pass(is_whole)
        return is_whole

    def _interleaving(self) -> Interleaving | Turns | Between:
        interleaving: Interleaving | Turns | Between
        if self.turn_trainers:
            interleaving = Turns(self.stage, self.turn_trainers, self.progress)
        else:
            interleaving = Interleaving(self.trainers, self.epoch.iterations)
        if self.stage.validates.is_within_epochs:
            interleaving = Between(interleaving, self._is_row_due, self._add_row)
        if self.callbacks is not None:
            return Between(interleaving, self._is_stopping, self._end_early)
        return interleaving

    def _is_row_due(self) -> bool:
        return self.stage.validates.is_due(self.progress.stage_step) and not self._has_row()

    def _add_row(self) -> bool:
        """Validate within the epoch; gives whether the stage ends there."""
        self.settle()
        with self.phases.during(Phase.METRICS):
            trained = {one.pipeline.name: one.results_since_row() for one in self.trainers}
        row = self._row(trained, self.validation.run())
        self._append(row)
        self.history.ends_in_epoch = True
        asked = self.stage.is_asked_within_epoch
        is_over = self._is_stopping() or (
            asked and self._is_finished(self.progress.stage_epoch + 1)
        )
        if is_over:
            self.ending = row
            return True
        spent = self.timing.take()
        with self.phases.during(Phase.CHECKPOINT):
            self.checkpointer.add_row(row, self.data, spent)
        emit(handlers_of(self.listeners, Listener.row_added), self.progress, row)
        return False

    def _end_early(self) -> bool:
        """End the epoch where it is, and the stage with it, as a callback has asked for that."""
        if self._has_row():
            self.ending, self.is_ending_new = self.history[-1], False
            return True
        self.settle()
        trained = {one.pipeline.name: one.results_since_row() for one in self.trainers}
        epoch, iterations = self.progress.stage_epoch + 1, self.progress.stage_step
        measured = self.validation.run_at_end(epoch, iterations, is_last=True)
        self.ending = self._row(trained, measured)
        self._append(self.ending)
        return True

    def _is_stopping(self) -> bool:
        if self.callbacks is None:
            return False
        if self.stage.world is not None:
            self.callbacks.agree_on_stopping(self.stage.world)
        return self.callbacks.is_stopping()

    def shared(self, value: T) -> T:
        """What the first of several processes has: time is not the same for all of them."""
        world = self.stage.world
        return value if world is None else world.processes.first(value)

    def _has_row(self) -> bool:
        """Whether there is a row after the iteration at hand, or at the start of the stage."""
        return bool(self.history) and self.history[-1]["step"] == self.progress.step

    def _append(self, row: Row) -> None:
        """Add a row; what the next one tells of begins here."""
        self.history.append(row)
        self.history.iterations = self.progress.stage_step
        for trainer in self.trainers:
            trainer.start_row()
        self.started, self.epoch.seconds = time.monotonic(), 0.0

    def _is_finished(self, epoch: int) -> bool:
        """Whether the stop condition holds in an epoch of the stage, or after it."""
        with blaming("the stop condition"):
            return self.shared(bool(self.stage.stop_condition(epoch, self.history)))

    def last_row(self) -> Row | None:
        """The row at the end of an epoch; None where a validation within it has added that."""
        with self.phases.during(Phase.METRICS):
            trained = {trainer.pipeline.name: trainer.finish_epoch() for trainer in self.trainers}
        for average in self.averages:
            average.count_epoch(self.progress.epoch + 1)
        epoch, iterations = self.progress.stage_epoch + 1, self.progress.stage_step
        is_done = self._has_row()
        measured = self.validation.run_at_end(epoch, iterations, is_done, self._is_stopping())
        return None if is_done and not measured.evaluators else self._row(trained, measured)

    def settle(self) -> None:
        """Bring the progress of the epoch up to date, before it is saved."""
        for trainer in self.trainers:
            trainer.settle()
        world = self.stage.world
        if world is not None and world.states is not None:
            world.states.settle()
        self.epoch.seconds = self.seconds

    @property
    def seconds(self) -> float:
        """How long the epoch has taken since its last row, before and after an interruption."""
        return time.monotonic() - self.started

    def live(self) -> dict[str, float]:
        """The running losses, and the metrics of the batch at hand, by column."""
        columns = self.stage.columns
        with self.phases.during(Phase.METRICS):
            return {
                columns.get((trainer.pipeline.name, name), name): value
                for trainer in self.trainers
                for name, value in trainer.live().items()
            }

    def _row(self, trained: Mapping[str, Results], results: Measured) -> Row:
        """A row.

        Args:
            trained: What each training pipeline has measured.
            results: Those of validation pipelines and of evaluators.
        """
        measured = {**trained, **self.unvalidated, **results.pipelines}
        self.data = dict(self._data_of(trained, results))
        row: Row = {"epoch": self.progress.epoch + 1, "step": self.progress.step}
        for (pipeline, shown_as), column in self.stage.columns.items():
            row[column] = measured[pipeline].numbers.get(shown_as)
        for column in self.evaluator_columns:
            row[column] = results.evaluators.get(column)
        if self.stage.skips_nonfinite:
            row[SKIPPED] = sum(trainer.progress.skipped for trainer in self.trainers)
        row |= dict.fromkeys(self.stage.added_columns)
        if self.callbacks is not None:
            self.callbacks.fill(row)
        row["seconds"] = self.seconds
        return self.shared(row)

    def _data_of(
        self, trained: Mapping[str, Results], results: Measured
    ) -> Iterator[tuple[str, Data]]:
        """What metrics gave as tensors for a row, by name."""
        for found in results.pipelines.values():
            yield from found.data.items()
        for trainer in self.trainers:
            for name, value in trained[trainer.pipeline.name].data.items():
                yield self.stage.data_name(trainer.pipeline, name), value

    def finish_epoch(self, row: Row | None) -> None:
        """Let callbacks and schedulers act, ask the stop condition, save the row and the state.

        Args:
            row: The row of the epoch; None where a validation within it has added that.
        """
        progress = self.progress
        if row is not None:
            self._append(row)
        is_new = row is not None or (self.ending is not None and self.is_ending_new)
        self.history.ends_in_epoch = False
        row = self.history[-1]
        # One that ends before its first iteration, with the row of the epoch before, is none.
        is_one = row["epoch"] == progress.epoch + 1
        if self.callbacks is not None and is_one:
            self.callbacks.end_epoch(row, is_open=is_new)
        if is_one:
            progress.count_epoch(goes_on=isinstance(self.stage.epoch_length, int))
        if self.ending is None:
            with self.phases.during(Phase.SCHEDULERS):
                step_at_epoch(self._schedulers(), row)
        finished = self.ending is not None or self._is_finished(progress.stage_epoch)
        if finished or self._is_stopping():
            progress.next_stage()
            if self.callbacks is not None:
                self.callbacks.run.note_end(self.index)
        spent = self.timing.take() if is_new else {}
        with self.phases.during(Phase.CHECKPOINT):
            self.checkpointer.add_epoch(self.index, row, is_new, self.data, spent)
        emit(handlers_of(self.listeners, Listener.epoch_timed), self.timing.shares())
        emit(handlers_of(self.listeners, Listener.epoch_finished), progress, row)

    def _schedulers(self) -> list[Scheduler]:
        """Those of the optimizers of this stage that step with the epochs."""
        used = (o for pipeline in self.stage.training for o in pipeline.optimizers)
        return schedulers_at("epoch", self.stage.schedulers, used)

    def finish(self) -> None:
        """The stop condition holds: the stage is done."""
        emit(handlers_of(self.listeners, Listener.stage_finished), self.progress)

    def close(self) -> None:
        """End what loads the data."""
        with ExitStack() as stack:
            for trainer in self.trainers:
                stack.enter_context(closing(trainer.data))
                stack.callback(trainer.leave_pass)
            stack.enter_context(closing(self.validation))
