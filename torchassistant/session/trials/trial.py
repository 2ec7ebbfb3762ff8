"""Training of which nothing is kept: a few batches a pass, or the same ones again and again.

It runs the real loop on what was loaded of a session. Nothing is stored, and neither callbacks nor
debug pipelines are called, as they may write. Afterwards the session in memory is spent.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from torch.optim import Optimizer

from torchassistant.data import derived, seeded
from torchassistant.messages import logger_for
from torchassistant.parallel import Processes
from torchassistant.session.session import Session
from torchassistant.session.stages.evaluator_keys import learn_evaluator_keys
from torchassistant.session.stages.loss_keys import learn_keys
from torchassistant.session.stages.metric_keys import learn_metric_keys
from torchassistant.session.stages.stage_beginning import begin_stage
from torchassistant.training import (
    LONGEST,
    Data,
    Pipeline,
    Progress,
    Reporter,
    Row,
    SharedStop,
    Spent,
    Stage,
    StageHistory,
    StopRequest,
    ValidationPlan,
    train_stage,
)

_log = logger_for(__name__)


def try_out(
    session: Session,
    batches: int,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    processes: Processes | None = None,
) -> list[Row]:
    """Train to the end, on a few batches an epoch, and validate on as few.

    Args:
        session: Goes on from where it is, with an epoch of its own.
        batches: At most so many of each pipeline, an epoch; where ``epoch_length`` counts
            iterations, so many of those.
        reporter: Is called when something happens.
        stop: Ends it after the iteration at hand.
        processes: Those that train it together; left out: this one alone.

    Returns:
        The rows of its epochs, which no history has.

    Raises:
        Exception: Whatever :meth:`Session.train` raises.
    """
    added: list[Row] = []
    session.meet(processes)
    progress = copy.deepcopy(session.progress)
    progress.within = None
    session.try_from(progress)
    with seeded(derived(session.seed, "trial")):
        while progress.stage < len(session.stages):
            index = progress.stage
            stage = _limited(session.stages[index], batches)
            if not progress.has_begun_stage:
                _begin(session, index)
            learn_metric_keys(session, stage, session.rows, index)
            learn_evaluator_keys(session, session.rows, index, stage)
            _train(session, stage, session.rows.rows(index), added, reporter, stop)
    return added


def overfit(
    session: Session,
    batches: int,
    passes: int,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
    processes: Processes | None = None,
) -> list[Row]:
    """Train the stage at hand on the same few batches again and again.

    Schedulers rest, at the learning rates of the config, and nothing is validated.

    Args:
        session: Its weights are where training would go on.
        batches: So many of each training pipeline.
        passes: So many times.
        reporter: Is called when something happens.
        stop: Ends it after the iteration at hand.
        processes: Those that train it together; left out: this one alone.

    Returns:
        A row for each pass.

    Raises:
        Exception: Whatever :meth:`Session.train` raises.
    """
    session.meet(processes)
    stage = session.stages[min(session.progress.stage, len(session.stages) - 1)]
    training = [replace(one, repeats=True) for one in _few(stage.training, batches)]
    rehearsed = replace(rehearsal_of(stage, passes), training=training)
    return rehearse(session, session.stages.index(stage), rehearsed, reporter, stop)


def rehearsal_of(stage: Stage, epochs: int) -> Stage:
    """A stage that only trains, for so many epochs: nothing is validated, and schedulers rest."""
    return replace(
        stage,
        validation=(),
        evaluators=(),
        schedulers=(),
        epoch_length=LONGEST,
        validates=ValidationPlan(every_epochs=None),
        stop_condition=_Epochs(epochs),
        debug=(),
        log=None,
        added_columns=(),
    )


def rehearse(
    session: Session,
    index: int,
    stage: Stage,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> list[Row]:
    """Train a rehearsal of a stage from its beginning, with the weights at hand.

    Args:
        session: Whose.
        index: The index of the stage.
        stage: See :func:`rehearsal_of`.
        reporter: Is called when something happens.
        stop: Ends it after the iteration at hand.

    Returns:
        A row for each epoch.
    """
    added: list[Row] = []
    is_begun = session.progress.stage > index or (
        session.progress.stage == index and session.progress.has_begun_stage
    )
    if not is_begun:
        _begin(session, index)
    done = session.progress
    session.try_from(Progress(index, done.epoch, done.step, passes=dict(done.passes)))
    for pipeline in stage.training:
        _rest(pipeline.optimizers)
    with seeded(derived(session.seed, "trial")):
        learn_metric_keys(session, stage, session.rows, index)
        _train(session, stage, [], added, reporter, stop)
    return added


def _train(
    session: Session,
    stage: Stage,
    rows: Sequence[Row],
    added: list[Row],
    reporter: Reporter | None,
    stop: StopRequest | None,
) -> None:
    progress, reporter, world = session.progress, reporter or Reporter(), session.world
    learn_keys(session, stage)
    if world is not None:
        stage = stage.shared_by(world)
        stop = SharedStop(stop or StopRequest(), world) if world.processes.size > 1 else stop
    reporter.stage_started(progress, len(session.stages), stage.num_epochs)
    history = StageHistory(rows, progress.stage_step)
    try:
        with nullcontext() if world is None else world.processes.explaining():
            train_stage(stage, progress, history, _Unsaved(added), reporter, stop)
    finally:
        reporter.close()


def _begin(session: Session, index: int) -> None:
    begin_stage(session.builder, index, None)
    if session.spec.train.stages[index].start_from is not None:
        _log.info(
            f"{session.spec.stage_title(index)} would start from a stored state; here it goes on "
            "from the weights at hand"
        )


def _limited(stage: Stage, batches: int) -> Stage:
    is_counted = isinstance(stage.epoch_length, int)
    training = stage.training if is_counted else _few(stage.training, batches)
    length = min(stage.epoch_length, batches) if is_counted else stage.epoch_length
    return replace(
        stage,
        training=training,
        validation=_few(stage.validation, batches),
        evaluators=[replace(one, limit=batches) for one in stage.evaluators],
        epoch_length=length,
        debug=(),
        log=None,
    )


def _few(pipelines: Sequence[Pipeline], batches: int) -> list[Pipeline]:
    few = {one.name: replace(one, limit=batches) for one in pipelines}
    return [replace(one, pipelines={**one.pipelines, **few}) for one in few.values()]


def _rest(optimizers: Sequence[Optimizer]) -> None:
    """Give optimizers the rates that their schedulers have found."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if "initial_lr" in group:
                group["lr"] = group["initial_lr"]


class _Epochs:
    """The stop condition: so many are done."""

    def __init__(self, num_epochs: int) -> None:
        self.num_epochs = num_epochs

    def __call__(self, epoch_in_stage: int, history: Sequence[Row]) -> bool:
        return epoch_in_stage >= self.num_epochs


class _Unsaved:
    """Stands where the state of a run is saved, and keeps the rows of epochs in memory.

    Args:
        rows: Get them.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def is_save_due(self, step: int) -> bool:
        return False

    def is_save_requested(self) -> bool:
        return False

    def save(self) -> None:
        """There is nothing to resume."""

    def add_epoch(
        self, stage: int, row: Row, is_new: bool, data: Mapping[str, Data], spent: Spent
    ) -> None:
        self.rows.append(row)

    def add_step(self, row: Row) -> None:
        """Nobody reads it."""

    def add_picture(self, name: str, image: bytes) -> None:
        """Likewise."""

    def add_row(self, row: Row, data: Mapping[str, Data], spent: Spent) -> None:
        """Likewise."""
