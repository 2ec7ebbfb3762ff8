"""Stages of the config: what is trained together, how long, and what it begins with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from torchassistant.config.blocks import (
    Block,
    Count,
    EvalSteps,
    Name,
    Names,
    ObjectSpec,
    Position,
)
from torchassistant.config.module_patterns import PatternSpec
from torchassistant.config.role import CALLABLE, STOP_CONDITION, Role
from torchassistant.config.spec.pipelines import DebugPipelineSpec, PipelineSpec

OnNonfinite = Literal["stop", "skip"]

STOP_CONDITION_ROLE = Role(
    "stop_condition",
    "stop condition (it cannot be called)",
    ("torchassistant.stop_conditions",),
    methods=CALLABLE,
    kind=STOP_CONDITION,
    holds=(STOP_CONDITION,),
    or_itself=True,
    code=("applied", "called at the end of the next epoch"),
)


class TrainingEntrySpec(Block):
    """A training pipeline of a stage, and when it runs."""

    pipeline: Name = Field(description="A pipeline.")
    repeat: Count = Field(1, description="Steps in each iteration in which it runs.")
    every: Count = Field(
        1, description="It runs in iterations whose number, from 0, is a multiple of this."
    )
    from_: Position = Field(
        0, alias="from", description="The number of the first iteration in which it may run."
    )
    count_in: Literal["stage", "epoch"] = Field(
        "stage", description="Whether iterations are counted in the stage, or in each epoch."
    )
    when_exhausted: Literal["wait", "restart"] | None = Field(
        None,
        description="Whether it sits out for the rest of the epoch when its data is used up, or "
        "begins a new pass; left out: `wait`, and `restart` where `epoch_length` is a number and "
        "the data can begin anew.",
    )


TrainingEntry = Annotated[
    Annotated[Name, Tag("name")] | Annotated[TrainingEntrySpec, Tag("block")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "block"),
]
EpochLength = Annotated[
    Annotated[Name, Tag("name")] | Annotated[Count, Tag("number")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "number"),
]


class FrozenSpec(PatternSpec):
    """What a stage leaves as it is, and whether it runs in eval mode meanwhile."""

    mode: Literal["eval"] | None = Field(
        None, description="`eval`: these modules run in eval mode in training; left out: in theirs."
    )

    @property
    def shown(self) -> str:
        """The entry in short, for people."""
        texts = ", ".join(text for _, text in self.globs)
        types = ", ".join(self.types or ())
        return f"{texts} of type {types}" if texts and types else texts or types


class StartFromSpec(Block):
    """A state of an earlier stage."""

    stage: Annotated[
        Annotated[Name, Tag("name")] | Annotated[Position, Tag("index")],
        Discriminator(lambda value: "name" if isinstance(value, str) else "index"),
    ] = Field(description="The name of an earlier stage, or its index, from 0.")
    checkpoint: Literal["best", "last"] = Field(
        "best", description="`best` is the best within that stage; it needs `checkpoints.best`."
    )
    monitor: Name | None = Field(
        None, description="One of `checkpoints.best`; left out: the first."
    )
    models: Names | None = Field(None, description="Left out: every model but averages.")


class ValidateSpec(Block):
    """When the validation pipelines of a stage are run."""

    every_epochs: Count | None = Field(
        1, description="After every N epochs of the stage; `null`: not at the ends of epochs."
    )
    every_iterations: Count | None = Field(
        None, description="After every N iterations of the stage; each adds a row."
    )
    at_start: bool = Field(
        False, description="Before the first iteration of the stage too; this adds a row."
    )

    @property
    def is_ever(self) -> bool:
        """Whether it is done at all."""
        return self.is_at_ends or self.at_start

    @property
    def is_at_ends(self) -> bool:
        """Whether the row at the end of an epoch may have results of validation."""
        return self.every_epochs is not None or self.every_iterations is not None

    @model_serializer(mode="wrap")
    def _with_null(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is None is left out elsewhere, and is read again as what it stands for there."""
        data: dict[str, Any] = whole(self)
        if self.every_epochs is None:
            data["every_epochs"] = None
        return data


class StageEvaluatorSpec(Block):
    """An evaluator of a stage: on which models, over which data, and how often."""

    evaluator: Name = Field(description="An evaluator of the definitions.")
    models: Annotated[dict[Name, Name], Field(min_length=1)] | None = Field(
        None,
        description="The models that it is called with, by the names that it knows them by; left "
        "out: every model by its own.",
    )
    loader_factory: Name | None = Field(
        None, description="Gives the batches, in evaluation's order; left out: it gets `None`."
    )
    every_epochs: Count = Field(1, description="After every N epochs of the stage.")
    on: Literal["first"] | None = Field(
        None,
        description="With `first` the first of several processes calls it alone; left out: all do, "
        "and the result of the first counts.",
    )


class StageSpec(Block):
    """Pipelines that are trained together until a stop condition holds."""

    name: Name | None = Field(
        None, description="Shown beside its number; left out: it has a number only."
    )
    like: Name | None = Field(
        None, description="Another stage, from which it has [all that it does not say](#like)."
    )
    mode: Literal["interleave"] = Field(
        "interleave", description="An iteration runs each training pipeline once."
    )
    training_pipelines: Annotated[list[TrainingEntry], Field(min_length=1)] = Field(
        description="In the order of an iteration: names, or objects that say when one runs."
    )
    epoch_length: EpochLength = Field(
        "longest",
        description="What ends an epoch: the `longest` pass of a training pipeline, the "
        "`shortest`, that of the pipeline of this name, or a number of iterations.",
    )
    validation_pipelines: list[Name] = Field([], description="Run after each epoch, in order.")
    validate_: ValidateSpec = Field(
        ValidateSpec(),
        alias="validate",
        description="When they are run, if not after each epoch only.",
    )
    evaluators: list[StageEvaluatorSpec] = Field(
        [], description="[Evaluators](#evaluators): what is measured after epochs besides."
    )
    callbacks: list[Name] = Field(
        [], description="Callbacks of this stage, called after those of `train.callbacks`."
    )
    run_before_epoch: list[Name] = Field(
        [],
        description="What runs before each epoch, in order: functions and callables of the group "
        "`callbacks`, called as `function(session, epoch)`, and pipelines, run over all their data "
        "in eval mode.",
    )
    measure_training: Annotated[
        Annotated[bool, Tag("switch")] | Annotated[list[Name], Tag("names")],
        Discriminator(lambda value: "names" if isinstance(value, list) else "switch"),
    ] = Field(
        False,
        description="Whether the metrics of its training pipelines are measured over the epoch, on "
        "the batches as they were trained on; or the display names of those that are.",
    )
    debug_pipelines: list[
        Annotated[
            Annotated[Name, Tag("name")] | Annotated[DebugPipelineSpec, Tag("block")],
            Discriminator(lambda value: "name" if isinstance(value, str) else "block"),
        ]
    ] = Field([], description="Debug pipelines, or names of those under `initialize`.")
    stop_condition: Annotated[ObjectSpec | None, STOP_CONDITION_ROLE] = Field(
        None,
        description="Called as `condition(epoch_in_stage, history)` after each epoch, and after "
        "each other row if it has `asked_within_epoch`; left out: "
        "early stopping on the validation loss.",
    )
    on_nonfinite: OnNonfinite | None = Field(
        None, description="Left out: the `on_nonfinite` of the config."
    )
    eval_steps: EvalSteps | dict[str, EvalSteps] = Field(
        1.0, description="How much of each validation pipeline is run; an object gives it by name."
    )
    start_from: StartFromSpec | None = Field(
        None, description="The state of an earlier stage whose weights it begins with."
    )
    reset: list[Name] = Field(
        [], description="What begins anew: `optimizers.NAME`, `schedulers.NAME`, `averages.NAME`."
    )
    frozen: list[
        Annotated[
            Annotated[Name, Tag("pattern")] | Annotated[FrozenSpec, Tag("block")],
            Discriminator(lambda value: "pattern" if isinstance(value, str) else "block"),
        ]
    ] = Field(
        [], description="What does not change in this stage: models, and [patterns](#patterns)."
    )

    @property
    def frozen_blocks(self) -> list[FrozenSpec]:
        """What it freezes, a name or pattern as a block too."""
        return [FrozenSpec(match=one) if isinstance(one, str) else one for one in self.frozen]

    @property
    def entries(self) -> list[TrainingEntrySpec]:
        """Its training pipelines, each as an object that says when it runs."""
        return [
            TrainingEntrySpec(pipeline=entry) if isinstance(entry, str) else entry
            for entry in self.training_pipelines
        ]

    def measured(self, name: str, pipeline: PipelineSpec) -> list[str]:
        """The display names of the metrics of a training pipeline that it measures in training."""
        if self.measure_training is False or name in self.validation_pipelines:
            return []
        shown, names = [metric.shown_as for metric in pipeline.metrics], self.measure_training
        return shown if names is True else [one for one in shown if one in names]

    @property
    def trained_pipelines(self) -> list[str]:
        """The names of its training pipelines."""
        return [entry.pipeline for entry in self.entries]


class TrainSpec(Block):
    """What is done: the stages, one after the other."""

    stages: Annotated[list[StageSpec], Field(min_length=1)] = Field(
        [], description="One after the other; left out: one, over all pipelines."
    )
    callbacks: list[Name] = Field(
        [], description="Callbacks of all stages, in the order in which they are called."
    )
