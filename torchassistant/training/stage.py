"""A stage: pipelines that are trained together until a stop condition holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import nn

from torchassistant.config import row_columns
from torchassistant.graph import (
    NOTHING_FROZEN,
    Frozen,
    distinct,
    is_part_of_one,
    set_training,
)
from torchassistant.parallel import World
from torchassistant.training.averages import Average
from torchassistant.training.evaluation.debug_pipeline import DebugPipeline
from torchassistant.training.evaluation.validation_plan import ValidationPlan
from torchassistant.training.events import Spent
from torchassistant.training.losses.metric_values import Data
from torchassistant.training.pipeline import Pipeline, PipelineMetric
from torchassistant.training.progress import Row, StageHistory, StopCheck
from torchassistant.training.schedulers import Scheduler
from torchassistant.training.stage_evaluator import StageEvaluator
from torchassistant.training.step_log import StepLog
from torchassistant.training.steps.optimizer_update import GradientClipper
from torchassistant.training.turns import LONGEST, EpochLength, Turn

StopCondition = Callable[[int, StageHistory], Any]

SKIPPED = "skipped"
"""The column that counts the batches that were left out."""


class BeforeEpoch(Protocol):
    """Something that runs before an epoch."""

    def run(self, epoch: int, stop: StopCheck, world: World | None) -> None:
        """Run.

        Args:
            epoch: The number of the epoch in the run, from 1.
            stop: Ends it early.
            world: The processes that train together; None: this one alone.

        Raises:
            Interrupted: ``stop`` asked for it.
        """


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
        validates: When the validation pipelines are run.
        skips_nonfinite: Whether a batch whose loss or gradient is not finite is left out.
        turns: When each training pipeline runs, and how often; left out: each in every iteration.
        epoch_length: What ends an epoch.
        frozen: What it leaves as it is; the graphs of its training pipelines know it too.
        averages: Of all models, without frozen ones; those of models that it trains follow them.
        evaluators: Code of the user that measures models at the ends of epochs.
        log: What is measured between rows within the epoch; None where there are none.
        before_epoch: What runs before each epoch, in order.
        added_columns: The columns that callbacks give values for.
        measures: The display names of the metrics of its training pipelines that are measured over
            the epoch, or whether all are.
        world: Who trains it together; None: this process alone, each batch as a whole.
    """

    training: Sequence[Pipeline]
    validation: Sequence[Pipeline]
    debug: Sequence[DebugPipeline]
    stop_condition: StopCondition
    eval_steps: Mapping[str, int | float]
    order: Sequence[str]
    clippers: Sequence[GradientClipper] = ()
    schedulers: Sequence[Scheduler] = ()
    skips_nonfinite: bool = False
    validates: ValidationPlan = field(default_factory=ValidationPlan)
    turns: Sequence[Turn] = ()
    epoch_length: EpochLength = LONGEST
    frozen: Frozen = NOTHING_FROZEN
    averages: Sequence[Average] = ()
    evaluators: Sequence[StageEvaluator] = ()
    log: StepLog | None = None
    before_epoch: Sequence[BeforeEpoch] = ()
    added_columns: Sequence[str] = ()
    measures: bool | Sequence[str] = False
    world: World | None = None

    def shared_by(self, world: World) -> Stage:
        """The same, trained by several processes, or in parts."""
        training = [replace(pipeline, world=world) for pipeline in self.training]
        debug = self.debug if world.is_first else ()
        return replace(self, training=training, debug=debug, world=world)

    @property
    def all_turns(self) -> Sequence[Turn]:
        """When each training pipeline runs, and how often."""
        return self.turns or [Turn()] * len(self.training)

    @property
    def takes_turns(self) -> bool:
        """Whether an iteration is more than each of its training pipelines once."""
        is_plain = self.epoch_length == LONGEST and all(turn == Turn() for turn in self.turns)
        return not is_plain or any(pipeline.links for pipeline in self.training)

    @property
    def header(self) -> list[str]:
        """The names of all columns of its rows."""
        skipped = [SKIPPED] if self.skips_nonfinite else []
        measured = [*self.columns.values(), *self.evaluator_columns]
        return ["epoch", "step", *measured, *skipped, *self.added_columns, "seconds"]

    @property
    def evaluator_columns(self) -> list[str]:
        """The columns of what evaluators measure, as far as their keys are known."""
        return [column for one in self.evaluators for column in one.columns.values()]

    @property
    def columns(self) -> dict[tuple[str, str], str]:
        """The column of each (pipeline, display name) that a row holds, in the config's order."""
        return row_columns(
            self.order,
            {p.name: p.trained_losses + self._measured_columns(p) for p in self.training},
            {p.name: p.evaluated_columns for p in self.validation},
        )

    def measured(self, pipeline: Pipeline) -> list[PipelineMetric]:
        """The metrics of a training pipeline that are measured over the epoch, as it is trained."""
        if self.measures is False or any(pipeline.name == other.name for other in self.validation):
            return []
        names = self.measures
        return [m for m in pipeline.metrics if names is True or m.shown_as in names]

    def _measured_columns(self, pipeline: Pipeline) -> list[str]:
        return [column for item in self.measured(pipeline) for column in item.columns]

    def data_name(self, pipeline: Pipeline, name: str) -> str:
        """What the data of a metric is called that is measured in training.

        Args:
            pipeline: Where it is measured.
            name: Its display name, or ``NAME/KEY``.
        """
        others = [item for other in self.validation for item in other.metrics]
        others += [m for p in self.training if p.name != pipeline.name for m in self.measured(p)]
        is_taken = any(name == m.shown_as or name.startswith(f"{m.shown_as}/") for m in others)
        return f"{pipeline.name} {name}" if is_taken else name

    @property
    def trained(self) -> list[nn.Module]:
        """The models, and the losses, that its training pipelines change."""
        return distinct(m for p in self.training for m in p.trained)

    @property
    def untrained(self) -> list[nn.Module]:
        """The models that run in its training pipelines, and that none of them changes."""
        trained = self.trained
        models = [node.model for pipeline in self.training for node in pipeline.graph.nodes]
        models += [model for pipeline in self.training for model, _ in pipeline.models_of_losses]
        return distinct(model for model in models if not is_part_of_one(model, trained))

    def set_training(self) -> None:
        """Train mode for the models that run in its training pipelines, but for teachers."""
        beside = [model for pipeline in self.training for model in pipeline.models_of_losses]
        set_training([pipeline.graph for pipeline in self.training], beside)

    @property
    def device(self) -> torch.device:
        """Where the first of the models that it trains is."""
        parameters = (p for model in self.trained for p in model.parameters())
        return next((p.device for p in parameters), torch.device("cpu"))

    @property
    def epoch_averages(self) -> list[Average]:
        """The averages of models that it trains which follow after each epoch."""
        used = [optimizer for pipeline in self.training for optimizer in pipeline.optimizers]
        counted = (a for a in self.averages if a.averaging.interval == "epoch")
        return [average for average in counted if average.is_trained_by(used, self.frozen)]

    @property
    def is_asked_within_epoch(self) -> bool:
        """Whether its stop condition is asked after each row within an epoch too."""
        return getattr(self.stop_condition, "asked_within_epoch", False) is True

    @property
    def num_epochs(self) -> int | None:
        """How many epochs the stage will have at most, where its stop condition says so."""
        count = getattr(self.stop_condition, "num_epochs", None)
        return count if isinstance(count, int) else None


class Checkpointer(Protocol):
    """Saves the state of a run while a stage is trained."""

    def is_save_due(self, step: int) -> bool:
        """Whether the state is to be saved after this iteration."""

    def is_save_requested(self) -> bool:
        """Whether the state is to be saved in the middle of a validation."""

    def save(self) -> None:
        """Save the state as it is now."""

    def add_epoch(
        self, stage: int, row: Row, is_new: bool, data: Mapping[str, Data], spent: Spent
    ) -> None:
        """Add the row of an epoch, unless it is there; save the state where that is due.

        Args:
            stage: The index of its stage, which may be done.
            row: Of the epoch.
            is_new: Whether it is not there yet.
            data: What metrics gave as tensors with it.
            spent: Where the time since the last row went.
        """

    def add_step(self, row: Row) -> None:
        """Add a row of losses, learning rates and gradient norms."""

    def add_picture(self, name: str, image: bytes) -> None:
        """Add a picture to the history, as a PNG file."""

    def add_row(self, row: Row, data: Mapping[str, Data], spent: Spent) -> None:
        """Add a row within an epoch; save the state where it is among the best."""


@contextmanager
def freezing(stage: Stage) -> Iterator[None]:
    """No gradient is computed for what is frozen, and for models that the stage does not train.

    Gradient still flows through those models to what stands before them.
    """
    trained = {id(p) for model in stage.trained for p in model.parameters()}
    parameters = [
        p
        for model in stage.untrained
        for p in model.parameters()
        if p.requires_grad and id(p) not in trained
    ]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        with stage.frozen.held():
            yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
