"""The language of the config: one model for each block.

These models, with those of ``config/groups``, are the only definition of what a config may hold.
Field descriptions end up in the documentation, so they are written for the person who writes a
config.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    model_serializer,
)

from torchassistant.config.blocks import (
    Block,
    Compile,
    Count,
    Device,
    EvalSteps,
    FolderName,
    Name,
    Names,
    ObjectSpec,
    Position,
)
from torchassistant.config.groups import GROUPS
from torchassistant.config.groups.group import Group
from torchassistant.config.groups.models import ModelSpec
from torchassistant.config.history_columns import row_columns
from torchassistant.config.module_patterns import PatternSpec
from torchassistant.config.role import (
    ADAPTER,
    BATCH_PROCESSOR,
    CALLABLE,
    COMBINE,
    INPUT_CONVERTER,
    MODULE,
    NO_TRACE,
    OUTPUT_DEVICE,
    STEP,
    STOP_CONDITION,
    WEIGHT,
    Role,
)


class DefinitionBlock(Block):
    """A definition: a name, the group that it is of, and what it is."""

    name: Name
    if TYPE_CHECKING:
        group: str
        spec: Any


def _definition(group: Group) -> type[DefinitionBlock]:
    """The block of a definition of a group."""
    words = group.noun.title().replace(" ", "")
    name: Any = Literal[group.name]
    return create_model(
        f"{words}Definition",
        __base__=DefinitionBlock,
        __module__=__name__,
        group=(name, ...),
        spec=(group.block, ...),
    )


DEFINITIONS = {name: _definition(group) for name, group in GROUPS.items()}

if TYPE_CHECKING:
    Definition = DefinitionBlock
else:
    Definition = Annotated[reduce(or_, DEFINITIONS.values()), Field(discriminator="group")]


ColumnNames = Annotated[
    Annotated[Names, Tag("list")] | Annotated[dict[str, Name], Tag("object")],
    Discriminator(lambda value: "object" if isinstance(value, dict) else "list"),
]


class InputFactorySpec(Block):
    """Feeds one port of the graph, from a loader or from another pipeline."""

    loader_factory: Name | None = Field(None, description="Gives the batches.")
    from_pipeline: Name | None = Field(
        None,
        description="In place of a loader factory: a pipeline that runs earlier in the iteration; "
        "the frames of its ports, united, are what its last batch was.",
    )
    node: Name | None = Field(
        None, description="The node of that pipeline whose frame is taken instead, when it has run."
    )
    input_alias: Name | None = Field(None, description="The port; left out: the only one.")
    variable_names: ColumnNames | None = Field(
        None,
        description="Names of the columns, `_` for one that is dropped; left out: `input_1`, "
        "`input_2`, … With `from_pipeline`: an object of other names by the columns' own.",
    )
    when_exhausted: Literal["restart"] | None = Field(
        None,
        description="With `restart` the loader begins anew while those of other ports last; left "
        "out: its end ends the pass.",
    )

    @property
    def columns(self) -> list[str] | None:
        """The names of a loader's columns, where they are given."""
        return self.variable_names if isinstance(self.variable_names, list) else None

    @property
    def renames(self) -> dict[str, str]:
        """Other names for columns, by their own."""
        return self.variable_names if isinstance(self.variable_names, dict) else {}


WEIGHT_ROLE = Role(
    "weight",
    "weight of a loss (it cannot be called)",
    ("torchassistant.weights",),
    methods=CALLABLE,
    kind=WEIGHT,
)


class PipelineLossSpec(Block):
    """A loss of a pipeline."""

    loss_name: Name = Field(description="A loss of the definitions.")
    node_name: Name | None = Field(None, description="Whose frame; left out: the only processor.")
    loss_display_name: Name | None = Field(None, description="Left out: the loss's name.")
    weight: Annotated[
        Annotated[
            Annotated[float, Tag("number")] | Annotated[ObjectSpec, Tag("block")],
            Discriminator(lambda value: "block" if isinstance(value, dict | Block) else "number"),
        ],
        WEIGHT_ROLE,
    ] = Field(
        1.0,
        description="Factor of this loss in the sum that is minimised: a number, or an object that "
        "is called as `weight(step, epoch)` before each step.",
    )

    @property
    def shown_as(self) -> str:
        """The name in the bar and in the history."""
        return self.loss_display_name or self.loss_name


class PipelineMetricSpec(Block):
    """A metric of a pipeline."""

    metric_name: Name = Field(description="A metric of the definitions.")
    node_name: Name | None = Field(None, description="Whose frame; left out: the only processor.")
    display_name: Name | None = Field(None, description="Left out: the metric's name.")

    @property
    def shown_as(self) -> str:
        """The name in the bar and in the history."""
        return self.display_name or self.metric_name


COMBINE_ROLE = Role(
    "combine",
    "combination of losses (it cannot be called)",
    methods=CALLABLE,
    kind=COMBINE,
    or_itself=True,
)


class StepSpec(ObjectSpec):
    """A step of one's own: it is called with an event, and returns losses and columns."""

    losses: Names | None = Field(
        None,
        description="Names of the losses that it returns, which the history shows; left out: those "
        "of the pipeline's `losses`.",
    )


TRAIN_STEP_ROLE = Role(
    "train_step",
    "step of training (it cannot be called)",
    methods=CALLABLE,
    kind=STEP,
    or_itself=True,
)
EVAL_STEP_ROLE = replace(
    TRAIN_STEP_ROLE, name="eval_step", noun="step of evaluation (it cannot be called)"
)


class PipelineSpec(Block):
    """A batch graph, the loaders that feed it, its losses and its metrics."""

    graph: Name | None = Field(None, description="Left out: the only graph.")
    input_factories: Annotated[list[InputFactorySpec], Field(min_length=1)] = Field(
        description="What feeds each port."
    )
    models: Annotated[dict[Name, Name], Field(min_length=1)] | None = Field(
        None, description="Models that run in the place of others: the other's name to its own."
    )
    losses: list[PipelineLossSpec] = Field([], description="Summed, and minimised in training.")
    normalize_weights: bool = Field(
        False, description="Whether the weights of its losses are divided by their sum."
    )
    metrics: list[PipelineMetricSpec] = Field([], description="Measured in evaluation.")
    compile: Compile = Field(
        False, description="`torch.compile` for its graph and its losses in training, all as one."
    )
    gradient_accumulation: Count = Field(
        1, description="Batches per iteration; their gradients are accumulated for one step."
    )
    combine: Annotated[ObjectSpec | None, COMBINE_ROLE] = Field(
        None,
        description="Called as `combine(losses, parameters)` in place of the backward pass; leaves "
        "the gradients with the parameters.",
    )
    train_step: Annotated[StepSpec | None, TRAIN_STEP_ROLE] = Field(
        None,
        description="Called for each batch in training, in place of forward, losses, backward and "
        "step.",
    )
    eval_step: Annotated[StepSpec | None, EVAL_STEP_ROLE] = Field(
        None, description="Called for each batch in evaluation, in place of forward and losses."
    )

    @property
    def trained_losses(self) -> list[str]:
        """The display names of what is measured in training."""
        return self._losses_of(self.train_step)

    @property
    def evaluated_losses(self) -> list[str]:
        """The display names of the losses of an evaluation."""
        return self._losses_of(self.eval_step)

    def _losses_of(self, step: StepSpec | None) -> list[str]:
        if step is not None and step.losses is not None:
            return list(step.losses)
        return [loss.shown_as for loss in self.losses]

    @property
    def schedules_weights(self) -> bool:
        """Whether the weight of one of its losses is an object."""
        return any(isinstance(loss.weight, ObjectSpec) for loss in self.losses)

    @property
    def loss_weights(self) -> list[float]:
        """The factor of each loss in the sum that is minimised; 1 for one that is scheduled.

        Where one is, they are normalized in training.
        """
        found = (loss.weight for loss in self.losses)
        weights = [1.0 if isinstance(weight, ObjectSpec) else weight for weight in found]
        if not self.normalize_weights or self.schedules_weights:
            return weights
        whole = sum(weights)
        return [weight / whole for weight in weights]


POSTPROCESSOR = Role(
    "postprocessor",
    "postprocessor (it cannot be called)",
    methods=CALLABLE,
    other_kinds=(ADAPTER, BATCH_PROCESSOR, MODULE),
    code=NO_TRACE,
)
OUTPUT_DEVICE_ROLE = Role(
    "output_device",
    "output device (it cannot be called)",
    ("torchassistant.output_devices",),
    methods=CALLABLE,
    kind=OUTPUT_DEVICE,
    code=NO_TRACE,
)


class DebugPipelineSpec(Block):
    """A look at the models in the middle of training."""

    graph: Name | None = Field(None, description="Left out: the only graph.")
    input_factories: Annotated[list[InputFactorySpec], Field(min_length=1)] = Field(
        description="What feeds each port."
    )
    models: Annotated[dict[Name, Name], Field(min_length=1)] | None = Field(
        None, description="Models that run in the place of others: the other's name to its own."
    )
    num_iterations: Count = Field(1, description="Batches that are run each time.")
    interval: Count = Field(1, description="Run every N iterations.")
    output_keys: Names = Field(["y_hat"], description="Columns that are kept.")
    postprocessor: Annotated[ObjectSpec | None, POSTPROCESSOR] = Field(
        None, description="Called with the kept columns."
    )
    output_device: Annotated[ObjectSpec | None, OUTPUT_DEVICE_ROLE] = Field(
        None, description="Left out: they are printed."
    )


class InitializeSpec(Block):
    """What there is: the definitions, and the pipelines over them."""

    definitions: list[Definition] = Field(
        description="Objects that the rest of the config refers to."
    )
    pipelines: Annotated[dict[str, PipelineSpec], Field(min_length=1)] = Field(
        {}, description="By name; left out: one that trains and one that validates."
    )
    debug_pipelines: dict[str, DebugPipelineSpec] = Field(
        {}, description="By name; stages refer to them."
    )


OnNonfinite = Literal["stop", "skip"]
Precision = Literal["float32", "tf32", "bf16", "fp16"]


STOP_CONDITION_ROLE = Role(
    "stop_condition",
    "stop condition (it cannot be called)",
    ("torchassistant.stop_conditions",),
    methods=CALLABLE,
    kind=STOP_CONDITION,
    holds=(STOP_CONDITION,),
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
        "begins a new pass; left out: `wait`, and `restart` where `epoch_length` is a number.",
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
        None, description="Left out: the `monitor` of `checkpoints.best`, which it has to be."
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


class StageSpec(Block):
    """Pipelines that are trained together until a stop condition holds."""

    name: Name | None = Field(
        None, description="Shown beside its number; left out: it has a number only."
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

    @property
    def trained_pipelines(self) -> list[str]:
        """The names of its training pipelines."""
        return [entry.pipeline for entry in self.entries]


class TrainSpec(Block):
    """What is done: the stages, one after the other."""

    stages: Annotated[list[StageSpec], Field(min_length=1)] = Field(
        [], description="One after the other; left out: one, over all pipelines."
    )


class BestSpec(Block):
    """Which checkpoints are kept for how good they are."""

    monitor: Name = Field(description="A display name in the rows of a stage.")
    mode: Literal["min", "max"] = Field("min", description="Whether less is better, or more.")
    keep: Count = Field(1, description="How many are kept in addition to the last ones.")


class CheckpointsSpec(Block):
    """When the state is saved, and how much of it is kept."""

    every_epochs: Count = Field(
        1, description="Save after every N epochs, and at the end of each stage."
    )
    every_iterations: Count | None = Field(None, description="Save after every N iterations too.")
    every_seconds: PositiveFloat | None = Field(
        None, description="Save when N seconds have passed since the last save, too."
    )
    keep_last: Count = Field(3, description="How many of the last checkpoints are kept.")
    best: BestSpec | None = Field(None, description="Those of the best epochs are kept too.")
    max_failed_saves: Count | None = Field(
        3,
        description="Failed saves in a row that end the run; `null`: it always continues.",
    )

    @model_serializer(mode="wrap")
    def _with_null(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is None is left out elsewhere, and is read again as what it stands for there."""
        data: dict[str, Any] = whole(self)
        if self.max_failed_saves is None:
            data["max_failed_saves"] = None
        return data


class Spec(Block):
    """A training config."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    variables: dict[str, Any] | None = Field(
        None, description="Values by name, for `${name}` in strings."
    )
    session_dir: FolderName | None = Field(None, description="Folder of the session.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Seed of everything random; left out: drawn and stored."
    )
    device: Device = Field("auto", description="`auto` takes a GPU if there is one.")
    precision: Precision = Field(
        "float32",
        description="Of forward passes and losses: torch's default, `tf32` on GPUs that have it, "
        "or mixed precision with `bf16` or `fp16`. Weights stay float32.",
    )
    checkpoints: CheckpointsSpec = Field(
        CheckpointsSpec(), description="When checkpoints are saved."
    )
    on_nonfinite: OnNonfinite = Field(
        "stop",
        description="If a loss or gradient is infinite or NaN: end the run, or skip the batch and "
        "count it in the column `skipped`.",
    )
    initialize: InitializeSpec = Field(description="The objects and the pipelines.")
    train: TrainSpec = Field(TrainSpec(), description="The stages of the training.")

    def columns_of_stage(self, index: int) -> list[str]:
        """The columns of the history of a stage that losses and metrics have, in order."""
        stage, pipelines = self.train.stages[index], self.initialize.pipelines
        known = [name for name in stage.trained_pipelines if name in pipelines]
        return list(
            row_columns(
                list(pipelines),
                {name: pipelines[name].trained_losses for name in known},
                {
                    name: pipelines[name].evaluated_losses
                    + [metric.shown_as for metric in pipelines[name].metrics]
                    for name in stage.validation_pipelines
                    if name in pipelines
                },
            ).values()
        )

    def stage_title(self, index: int) -> str:
        """What messages call a stage: its number, from 1, and its name."""
        name = self.train.stages[index].name
        return f"stage {index + 1}" if name is None else f'stage {index + 1} ("{name}")'

    @property
    def stage_labels(self) -> list[str | int]:
        """What the history calls each stage: its name, or else its index."""
        stages = enumerate(self.train.stages)
        return [index if stage.name is None else stage.name for index, stage in stages]

    def stage_index(self, stage: str | int) -> int:
        """The index of a stage that is there, by its name or its index."""
        if isinstance(stage, int):
            return stage
        return [one.name for one in self.train.stages].index(stage)

    @property
    def resettable(self) -> list[str]:
        """All that a stage may let begin anew, as ``optimizers.NAME``."""
        optimizers = self.group("optimizers")
        scheduled = [name for name, spec in optimizers.items() if spec.lr_scheduler is not None]
        return [
            *(f"optimizers.{name}" for name in optimizers),
            *(f"schedulers.{name}" for name in scheduled),
            *(f"averages.{n}" for n, model in self.group("models").items() if model.average_of),
        ]

    def statistics_pipeline(self, average: ModelSpec) -> str | None:
        """The pipeline through which the statistics of an average are recomputed, if any is."""
        if isinstance(average.update_bn, str):
            return average.update_bn
        names = (entry.pipeline for stage in self.train.stages for entry in stage.entries)
        return next((n for n in names if self.runs_in_train_mode(n, average.average_of)), None)

    def runs_in_train_mode(self, pipeline: str, model: str | None) -> bool:
        """Whether a pipeline that is trained runs a model in train mode, on data of its own."""
        spec = self.initialize.pipelines.get(pipeline)
        if spec is not None and any(i.loader_factory is None for i in spec.input_factories):
            return False
        graph = None if spec is None else self.group("batch_graphs").get(spec.graph or "")
        processors = self.group("batch_processors")
        return any(
            node.model_name == model and node.mode != "eval"
            for name in ([] if graph is None else graph.nodes)
            if name in processors
            for node in processors[name].neural_graph or []
        )

    def group(self, name: str) -> dict[str, Any]:
        """The specs of one group, by name, as written."""
        return {d.name: d.spec for d in self.initialize.definitions if d.group == name}

    def with_sources(self, names: Iterable[str]) -> list[str]:
        """Some pipelines, and those that feed them."""
        found = list(dict.fromkeys(names))
        for name in found:
            pipeline = self.initialize.pipelines.get(name)
            for item in pipeline.input_factories if pipeline is not None else ():
                if item.from_pipeline is not None and item.from_pipeline not in found:
                    found.append(item.from_pipeline)
        return found

    @property
    def default_validation(self) -> list[str]:
        """The validation pipelines of the last stage."""
        return self.train.stages[-1].validation_pipelines


class EvaluationSpec(Block):
    """What an evaluation config says beside what it changes in the session's config."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    variables: dict[str, Any] | None = Field(
        None, description="Values by name, for `${name}` in strings."
    )
    session_dir: FolderName = Field(description="Folder of the session.")
    validation_pipelines: Names | None = Field(
        None, description="Left out: those of the last stage."
    )
    initialize: dict[str, Any] = Field({}, description="Merged into the session's `initialize`.")
    eval_steps: EvalSteps | dict[str, EvalSteps] = Field(
        1.0, description="How much of each pipeline is run; an object gives it by name."
    )
    device: Device | None = Field(None, description="Left out: as the session says.")


INPUT_CONVERTER_ROLE = Role(
    "input_converter",
    "input converter (it cannot be called)",
    ("torchassistant.input_converters",),
    methods=CALLABLE,
    kind=INPUT_CONVERTER,
    other_kinds=(MODULE,),
    code=NO_TRACE,
)


class InputMetaSpec(Block):
    """How the text of one input becomes a value for one port."""

    input_alias: Name | None = Field(None, description="The port; left out: the only one.")
    input_converter: Annotated[ObjectSpec | None, INPUT_CONVERTER_ROLE] = Field(
        None, description="Left out: the text as it is."
    )
    transform: bool | None = Field(
        None,
        description="Whether the dataset's own `transform` is applied to the converter's result; "
        "left out: to images, texts and uint8 pixels.",
    )


INFERENCE_POSTPROCESSOR = replace(
    POSTPROCESSOR,
    name="inference_postprocessor",
    noun="post-processor (it cannot be called)",
    given=("the session",),
    code=None,
)


class InferenceSpec(Block):
    """What an inference config says beside what it changes in the session's config."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    variables: dict[str, Any] | None = Field(
        None, description="Values by name, for `${name}` in strings."
    )
    session_dir: FolderName = Field(description="Folder of the session.")
    inference_pipeline: Name | None = Field(
        None, description="Left out: the last validation pipeline of the last stage."
    )
    inputs_meta: list[InputMetaSpec] = Field([], description="How the text of inputs is read.")
    results: Names | None = Field(None, description="Columns to keep; left out: all outputs.")
    postprocessor: Annotated[ObjectSpec | None, INFERENCE_POSTPROCESSOR] = Field(
        None, description="Its first argument is the session."
    )
    output_device: Annotated[ObjectSpec | None, OUTPUT_DEVICE_ROLE] = Field(
        None, description="Left out: results are printed."
    )
    initialize: dict[str, Any] = Field({}, description="Merged into the session's `initialize`.")
    device: Device | None = Field(None, description="Left out: as the session says.")
