"""A stage: pipelines that are trained together until a stop condition holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from torchassistant.config.history_columns import row_columns
from torchassistant.data import MultiLoader
from torchassistant.errors import DataError, Interrupted, UserError, blaming, near
from torchassistant.graph import buffers_of, distinct, is_among, set_training
from torchassistant.training.debug_pipeline import DebugPipeline
from torchassistant.training.evaluation import Steps, evaluate_over
from torchassistant.training.optimizer_calls import failure
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import (
    EpochProgress,
    Progress,
    Row,
    SaveAsked,
    StageHistory,
    StopRequest,
)
from torchassistant.training.reporter import Reporter
from torchassistant.training.timing import (
    CHECKPOINT,
    METRICS,
    OPTIMIZER,
    VALIDATION,
    Timing,
    timing_on,
)
from torchassistant.training.train_step import GradientClipper, Scheduler, Trainer

StopCondition = Callable[[int, StageHistory], Any]

SKIPPED = "skipped"
"""The column that counts the batches that were left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What is trained together, and until when.

    Args:
        training: The training pipelines, in the order in which an iteration runs them.
        validation: The validation pipelines, in the order in which they are run.
        debug: The debug pipelines.
        stop_condition: Called as ``condition(epoch_in_stage, history)`` after each epoch.
        eval_steps: How much of each validation pipeline is run, by name.
        order: The names of all pipelines in the order of the config, which the columns follow.
        clippers: Of all models.
        schedulers: Of all optimizers.
        skips_nonfinite: Whether a batch whose loss or gradient is not finite is left out.
        trainer: Makes what trains one pipeline.
    """

    training: Sequence[Pipeline]
    validation: Sequence[Pipeline]
    debug: Sequence[DebugPipeline]
    stop_condition: StopCondition
    eval_steps: Mapping[str, Steps]
    order: Sequence[str]
    clippers: Sequence[GradientClipper] = ()
    schedulers: Sequence[Scheduler] = ()
    skips_nonfinite: bool = False
    trainer: Callable[..., Trainer] = Trainer

    @property
    def header(self) -> list[str]:
        """The names of all columns of its rows."""
        skipped = [SKIPPED] if self.skips_nonfinite else []
        return ["epoch", "step", *self.columns.values(), *skipped, "seconds"]

    @property
    def columns(self) -> dict[tuple[str, str], str]:
        """The column of each (pipeline, display name) that a row holds, in the config's order."""
        return row_columns(
            self.order,
            {p.name: [item.shown_as for item in p.losses] for p in self.training},
            {p.name: p.display_names for p in self.validation},
        )

    @property
    def trained(self) -> list[nn.Module]:
        """The models, and the losses, that its training pipelines change."""
        return distinct(m for p in self.training for m in p.trained)

    @property
    def frozen(self) -> list[nn.Module]:
        """The models that run in its training pipelines, and that none of them changes."""
        trained = self.trained
        nodes = [node for pipeline in self.training for node in pipeline.graph.nodes]
        return distinct(node.model for node in nodes if not is_among(node.model, trained))

    @property
    def device(self) -> torch.device:
        """Where the first of the models that it trains is."""
        parameters = (p for model in self.trained for p in model.parameters())
        return next((p.device for p in parameters), torch.device("cpu"))

    @property
    def num_epochs(self) -> int | None:
        """How many epochs the stage will have at most, where its stop condition says so."""
        count = getattr(self.stop_condition, "num_epochs", None)
        return count if isinstance(count, int) else None


class Checkpointer(Protocol):
    """Keeps the state of a run while a stage is trained."""

    def due(self, step: int) -> bool:
        """Whether the state is to be kept after this iteration."""

    def keep(self) -> None:
        """Keep the state as it is now."""

    def epoch_finished(self, row: Row) -> None:
        """Keep the row of an epoch, and the state where that is due."""

    def is_asked(self) -> bool:
        """Whether the state is to be kept in the middle of a validation."""


def train_stage(
    stage: Stage,
    progress: Progress,
    history: StageHistory,
    checkpointer: Checkpointer,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> None:
    """Train until the stop condition holds.

    In short::

        until the stop condition holds:
            until every training pipeline has met all of its batches:
                for each training pipeline that has a batch left:
                    forward, losses, backward, clippers, step
                debug pipelines whose interval has come
                keep the state, where that is due
            evaluate the validation pipelines
            a row: their results, and the losses that were only met in training
            schedulers step; the stop condition is asked
            keep the row, and the state

    Args:
        stage: What is trained.
        progress: Where the run is; brought forward here.
        history: The rows of this stage so far; new ones are appended.
        checkpointer: Writes rows and saves the state.
        reporter: Hears what happens.
        stop: Ends training after the iteration at hand; the state is kept then.

    Raises:
        Interrupted: ``stop`` asked for it.
        NotFinite: A loss or a gradient is not finite.
    """
    reporter, stop = reporter or Reporter(), stop or StopRequest()
    timing = timing_on(stage.device)
    trainers = [
        stage.trainer(p, stage.clippers, stage.schedulers, stage.skips_nonfinite, stop, timing)
        for p in stage.training
    ]
    checks = {pipeline.name: pipeline.evaluation_data() for pipeline in stage.validation}
    with freezing(stage), ExitStack() as stack:
        for data in (*(trainer.data for trainer in trainers), *checks.values()):
            stack.enter_context(closing(data))
        index = progress.stage
        while progress.stage == index:
            clock = _Clock(progress)
            timing.start()
            try:
                met = _train_epoch(
                    stage, trainers, progress, checkpointer, reporter, stop, clock, timing
                )
                row = _row(stage, progress, met, checks, reporter, stop, timing, checkpointer)
            except Interrupted:
                if not stop.at_once:
                    stop.saving = True
                    checkpointer.keep()
                raise
            if stage.skips_nonfinite:
                row[SKIPPED] = sum(trainer.skipped for trainer in trainers)
            row["seconds"] = clock.seconds
            progress.within = None
            progress.epoch += 1
            progress.stage_epoch += 1
            history.append(row)
            history.iterations = progress.stage_step
            with timing.of(OPTIMIZER):
                _step_schedulers(stage, row)
            with blaming("the stop condition"):
                finished = bool(stage.stop_condition(progress.stage_epoch, history))
            if finished:
                progress.next_stage()
            with timing.of(CHECKPOINT):
                checkpointer.epoch_finished(row)
            reporter.epoch_timed(timing.shares())
            reporter.epoch_finished(progress, row)
    reporter.stage_finished(progress)


class _Clock:
    """How long an epoch has taken, before and after an interruption."""

    def __init__(self, progress: Progress) -> None:
        before = progress.within.seconds if progress.within is not None else 0.0
        self.started = time.monotonic() - before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def _train_epoch(
    stage: Stage,
    trainers: Sequence[Trainer],
    progress: Progress,
    checkpointer: Checkpointer,
    reporter: Reporter,
    stop: StopRequest,
    clock: _Clock,
    timing: Timing,
) -> dict[str, dict[str, float]]:
    """The rest of a pass over the data; gives the losses of each pipeline as they were met.

    ``progress.within`` is true whenever the state is kept, and afterwards.
    """
    begun = progress.within
    iterations = begun.iterations if begun is not None else 0
    # Losses keep the mode that they were built in: one may hold a frozen network.
    set_training([trainer.pipeline.graph for trainer in trainers])
    for trainer in trainers:
        come = begun.passes.get(trainer.pipeline.name) if begun is not None else None
        trainer.start_epoch(progress.epoch, come)
    lengths = [trainer.length() for trainer in trainers]
    total = None if None in lengths else max(n for n in lengths if n is not None)
    reporter.epoch_started(progress, total)

    columns = stage.columns

    def live() -> dict[str, float]:
        with timing.of(METRICS):
            return {
                columns.get((trainer.pipeline.name, name), name): value
                for trainer in trainers
                for name, value in trainer.live().items()
            }

    def settle() -> None:
        for trainer in trainers:
            trainer.settle()
        passes = {trainer.pipeline.name: trainer.progress() for trainer in trainers}
        progress.within = EpochProgress(iterations, clock.seconds, passes)

    # Where the run was stopped within an iteration, some pipelines have done their part of it.
    ahead = {trainer for trainer in trainers if trainer.iterations > iterations}
    left = [trainer for trainer in trainers if not trainer.done]
    try:
        while left := [t for t in left if t in ahead or t.step(progress.step + 1)]:
            ahead.clear()
            iterations += 1
            progress.step += 1
            progress.stage_step += 1
            for pipeline in stage.debug:
                if progress.step % pipeline.interval == 0:
                    pipeline.run(progress.step)
            reporter.iteration_done(live)
            if checkpointer.due(progress.step) and stop.signum is None:
                settle()
                with timing.of(CHECKPOINT):
                    checkpointer.keep()
            stop.check()
        settle()
    except Interrupted:
        if not stop.at_once:
            settle()
        raise
    finally:
        for trainer in trainers:
            trainer.close()
    with timing.of(METRICS):
        return {trainer.pipeline.name: trainer.finish_epoch() for trainer in trainers}


def _row(
    stage: Stage,
    progress: Progress,
    met: Mapping[str, Mapping[str, float]],
    checks: Mapping[str, MultiLoader],
    reporter: Reporter,
    stop: StopRequest,
    timing: Timing,
    checkpointer: Checkpointer,
) -> Row:
    asked = _InValidation(stop, checkpointer)
    results = {**met, **_validated(stage, checks, reporter, asked, timing)}
    row: Row = {"epoch": progress.epoch + 1, "step": progress.step}
    for (pipeline_name, shown_as), column in stage.columns.items():
        row[column] = results[pipeline_name][shown_as]
    return row


class _InValidation:
    """Ends a validation where the run is to stop, or the state to be saved.

    Args:
        stop: Knows what was asked for.
        checkpointer: Knows whether the state was saved already.
    """

    def __init__(self, stop: StopRequest, checkpointer: Checkpointer) -> None:
        self.stop = stop
        self.checkpointer = checkpointer

    def check(self) -> None:
        self.stop.check()
        if self.stop.save_asked and self.checkpointer.is_asked():
            raise SaveAsked


def _validated(
    stage: Stage,
    checks: Mapping[str, MultiLoader],
    reporter: Reporter,
    asked: _InValidation,
    timing: Timing,
) -> dict[str, Mapping[str, float]]:
    """The results of each validation pipeline, by its name.

    Where validation is left, it is run again: what a model changes in eval mode must not be
    changed twice.
    """
    put_back = buffers_of(m for pipeline in stage.validation for m in pipeline.reached)
    while True:
        results: dict[str, Mapping[str, float]] = {}
        try:
            for pipeline in stage.validation:
                steps = stage.eval_steps.get(pipeline.name, 1.0)
                data = checks[pipeline.name]
                with timing.of(VALIDATION):
                    results[pipeline.name] = evaluate_over(data, pipeline, steps, reporter, asked)
            return results
        except Interrupted:
            put_back()
            raise
        except SaveAsked:
            put_back()
            with timing.of(CHECKPOINT):
                asked.checkpointer.keep()


def _step_schedulers(stage: Stage, row: Row) -> None:
    """The schedulers of the optimizers that this stage uses, those that step with the epochs."""
    used = [o for pipeline in stage.training for o in pipeline.optimizers]
    for item in stage.schedulers:
        if item.interval != "epoch" or not is_among(item.optimizer, used):
            continue
        what = f'the scheduler of the optimizer "{item.name}"'
        if item.monitor is not None and item.monitor not in row:
            raise DataError(
                f'{what} listens to "{item.monitor}", which the rows of this stage lack'
                f"{near(item.monitor, row)}"
            )
        try:
            if item.monitor is None:
                item.scheduler.step()
            else:
                item.scheduler.step(row[item.monitor])
        except UserError:
            raise
        except Exception as error:
            raise failure(what, error) from error


@contextmanager
def freezing(stage: Stage) -> Iterator[None]:
    """No gradient is kept for parameters of models that no training pipeline of the stage trains.

    Gradient still flows through those models to what stands before them.
    """
    kept = {id(p) for model in stage.trained for p in model.parameters()}
    parameters = [
        p
        for model in stage.frozen
        for p in model.parameters()
        if p.requires_grad and id(p) not in kept
    ]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
