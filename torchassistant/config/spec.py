"""The language of the config: one model for each block.

These models are the only definition of what a config may hold. Field descriptions end up in the
documentation, so they are written for the person who writes a config.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from torchassistant.config import sizes
from torchassistant.config.history_columns import row_columns

Name = Annotated[str, Field(min_length=1)]
FolderName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Names = Annotated[list[Name], Field(min_length=1)]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,4})?)$")]
Count = Annotated[int, Field(gt=0, lt=2**63)]
Position = Annotated[int, Field(ge=0, lt=2**63)]
ByteSize = Count | Annotated[str, Field(pattern=sizes.PATTERN)]
EvalSteps = Annotated[
    Count | Annotated[float, Field(gt=0, le=1)],
    Field(description="How many batches: a count, or a fraction (0.5 is half, 1.0 all)."),
]


class Block(BaseModel):
    """A block of the config: unknown keys are errors, values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class ObjectSpec(Block):
    """An object: a class (or any callable) and its arguments, or a function of the session."""

    class_: Name | None = Field(
        None, alias="class", description="Dotted path, or a short name, of what is called."
    )
    factory_fn: Name | None = Field(
        None, description="Dotted path of a function that is called with the session first."
    )
    args: list[Any] = Field([], description="Positional arguments: data, objects, tensors.")
    kwargs: dict[str, Any] = Field({}, description="Keyword arguments: data, objects, tensors.")

    @property
    def path(self) -> str:
        """The dotted path or short name, whichever way it is given."""
        return self.class_ or self.factory_fn or ""


CompileMode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]


class CompileSpec(Block):
    """What ``torch.compile`` is asked for."""

    backend: Literal["inductor", "cudagraphs", "aot_eager", "eager"] = Field(
        "inductor", description="Which compiler."
    )
    mode: CompileMode | None = Field(None, description="What it takes its time for.")
    fullgraph: bool = Field(
        False, description="Whether what cannot be compiled as one graph is an error."
    )
    dynamic: bool | None = Field(
        None, description="Whether shapes change; left out: the compiler finds out."
    )


def _kind_of_compile(value: Any) -> str:
    return "mode" if isinstance(value, str) else "switch" if isinstance(value, bool) else "block"


Compile = Annotated[
    Annotated[bool, Tag("switch")]
    | Annotated[CompileMode, Tag("mode")]
    | Annotated[CompileSpec, Tag("block")],
    Discriminator(_kind_of_compile),
]


class DatasetSpec(Block):
    """A dataset: an object, or a ``link`` to a dataset or slice, or a ``merge`` of several."""

    class_: Name | None = Field(None, alias="class", description="Dotted path of a dataset class.")
    factory_fn: Name | None = Field(None, description="A function that gets the session first.")
    args: list[Any] = Field([], description="Positional arguments: data, objects, tensors.")
    kwargs: dict[str, Any] = Field({}, description="Keyword arguments: data, objects, tensors.")
    link: Name | None = Field(None, description="A dataset, or a slice as `split.train`.")
    merge: Names | None = Field(None, description="Datasets or slices, one after the other.")
    preprocessors: list[str | None] = Field(
        [], description='The i-th is for the i-th column; "" or null leaves a column as it is.'
    )

    cache: Literal["memory", "disk"] | None = Field(
        None,
        description="Where examples are kept, so that each is made once; left out: nowhere.",
    )
    cache_limit: ByteSize | None = Field(
        None,
        description='The most that is kept: bytes, or a text as `"500 MB"`; left out: 4 GB in '
        "memory, 20 GB on disk (all datasets together).",
    )

    @property
    def is_object(self) -> bool:
        """Whether the dataset is built by a class or a function."""
        return bool(self.class_ or self.factory_fn)


class SplitSpec(Block):
    """A random split of one dataset into ``name.train``, ``.val``, ``.test``, or ``name[i]``."""

    dataset_name: Name = Field(description="A dataset, or a slice of another split.")
    ratio: Annotated[list[PositiveFloat], Field(min_length=1)] = Field(
        description="Share of each slice; they add up to 1."
    )


class PreprocessorSpec(ObjectSpec):
    """An object with ``process(value)`` and, if it learns, ``fit(dataset)``."""

    fit: Name | None = Field(None, description="The dataset or slice that it learns from.")


class CollatorSpec(ObjectSpec):
    """A callable: list of examples in, columns of a batch out."""


class AugmentSpec(ObjectSpec):
    """A transform of training data: a callable, values of columns in, as many out."""

    on: Literal["examples", "batches"] = Field(
        "examples", description="Each example before it is collated, or each batch after."
    )
    columns: Annotated[list[Position], Field(min_length=1)] = Field(
        [0], description="Positions of the columns that it is called with, from 0."
    )


class LoaderFactorySpec(Block):
    """How batches are drawn from a dataset."""

    dataset: Name = Field(description="A dataset, or a slice as `split.train`.")
    collator: Name | None = Field(None, description="Left out: numbers and tensors are stacked.")
    kwargs: dict[str, Any] = Field({}, description="Arguments of `torch.utils.data.DataLoader`.")
    augment: (
        Annotated[
            Annotated[AugmentSpec, Tag("one")] | Annotated[list[AugmentSpec], Tag("several")],
            Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
        ]
        | None
    ) = Field(
        None,
        description="What is done to the data at random, in training only: a transform, or "
        "several, one after the other.",
    )

    @property
    def augments(self) -> list[AugmentSpec]:
        """The transforms, in the order in which they are called."""
        if isinstance(self.augment, list):
            return self.augment
        return [self.augment] if self.augment is not None else []


class ModelSpec(ObjectSpec):
    """A ``torch.nn.Module``."""

    memory_format: Literal["channels_last", "channels_last_3d"] | None = Field(
        None, description="How its weights and its images lie in memory; left out: as torch does."
    )


class SchedulerSpec(ObjectSpec):
    """A learning rate scheduler; it is built with the optimizer first."""

    interval: Literal["epoch", "step"] = Field("epoch", description="When it steps.")
    monitor: Name | None = Field(None, description="Display name that the scheduler listens to.")


class OptimizerSpec(ObjectSpec):
    """A ``torch.optim.Optimizer`` over the parameters of one model, or of one loss."""

    model: Name = Field(
        description="The model whose parameters it changes; or `losses.NAME`, a loss that has some."
    )
    lr_scheduler: SchedulerSpec | None = Field(None, description="Sets its learning rate.")


class ScoreSpec(ObjectSpec):
    """Something computed from columns of a frame: a loss or a metric."""

    inputs: Names = Field(description="Columns of the node's frame, in the order of arguments.")
    transform: Name | ObjectSpec | None = Field(
        None,
        description="Turns the inputs into arguments: a function, or a class built with the "
        "session.",
    )


class LossSpec(ScoreSpec):
    """A loss: a callable from tensors to a scalar tensor."""


class MetricSpec(ScoreSpec):
    """A metric with ``update``, ``compute`` and ``reset``."""


class NodeSpec(Block):
    """One model in a neural graph."""

    model_name: Name = Field(description="The model that is called.")
    inputs: list[Name] = Field(description="Names of the tensors that the model is called with.")
    outputs: Names = Field(description="Names of the tensors that the model returns.")
    optimizer_name: Name | None = Field(
        None, description="Left out: this node is not changed by the pipelines of this graph."
    )
    name: Name | None = Field(None, description="Left out: the name of the model.")
    mode: Literal["eval"] | None = Field(
        None,
        description="`eval`: its model runs in eval mode in training too, as a teacher does; left "
        "out: in train mode there.",
    )
    compile: Compile = Field(False, description="`torch.compile` for its model: true, or a mode.")
    activation_checkpointing: bool = Field(
        False,
        description="Whether activations are not kept in training, but computed again in the "
        "backward pass: less memory, more time, the same results.",
    )

    @property
    def node_name(self) -> str:
        """The node's own name."""
        return self.name or self.model_name


class BatchProcessorSpec(Block):
    """An input adapter, an ordered neural graph and an output adapter; or an object."""

    class_: Name | None = Field(None, alias="class", description="A callable: frame to frame.")
    factory_fn: Name | None = Field(None, description="A function that gets the session first.")
    args: list[Any] = Field([], description="Positional arguments: data, objects, tensors.")
    kwargs: dict[str, Any] = Field({}, description="Keyword arguments: data, objects, tensors.")
    input_adapter: ObjectSpec | None = Field(
        None,
        description="Frame to inputs of nodes; left out: they are looked up by name in the frame.",
    )
    neural_graph: Annotated[list[NodeSpec], Field(min_length=1)] | None = Field(
        None, description="Nodes in the order in which they run."
    )
    output_adapter: ObjectSpec | None = Field(
        None, description="Frame to frame; left out: the frame stays as it is."
    )
    device: Device | None = Field(None, description="Left out: the `device` of the config.")
    compile: Compile = Field(False, description="`torch.compile` for its nodes, all as one.")

    @property
    def is_object(self) -> bool:
        """Whether the processor is the user's own object."""
        return self.neural_graph is None


class BatchGraphSpec(Block):
    """Batch processors joined by edges."""

    nodes: Names = Field(description="Names of batch processors.")
    input_aliases: list[Name] = Field([], description="Names of the input ports.")
    ingoing_edges: dict[str, Names] = Field(
        {}, description="For each processor, the ports and processors that feed it, in order."
    )


class GradientClipperSpec(Block):
    """Limits the gradients of a model, by value first and then by norm."""

    model: Name = Field(description="The model whose gradients are limited.")
    clip_value: PositiveFloat | None = Field(
        None, description="Largest absolute value of one element."
    )
    clip_norm: PositiveFloat | None = Field(None, description="Largest L2 norm of all gradients.")


class HookSpec(Block):
    """Hooks on a model's parameters (backward) or modules (forward)."""

    model: Name = Field(description="The model that is watched.")
    factory_fn: Name = Field(
        description="Function from a parameter's (a module's) name to the hook."
    )


class DefinitionBlock(Block):
    """A definition: a name, the group that it is of, and what it is."""

    name: Name


class DatasetDefinition(DefinitionBlock):
    group: Literal["datasets"]
    spec: DatasetSpec


class SplitDefinition(DefinitionBlock):
    group: Literal["splits"]
    spec: SplitSpec


class PreprocessorDefinition(DefinitionBlock):
    group: Literal["preprocessors"]
    spec: PreprocessorSpec


class CollatorDefinition(DefinitionBlock):
    group: Literal["collators"]
    spec: CollatorSpec


class LoaderFactoryDefinition(DefinitionBlock):
    group: Literal["loader_factories"]
    spec: LoaderFactorySpec


class ModelDefinition(DefinitionBlock):
    group: Literal["models"]
    spec: ModelSpec


class OptimizerDefinition(DefinitionBlock):
    group: Literal["optimizers"]
    spec: OptimizerSpec


class LossDefinition(DefinitionBlock):
    group: Literal["losses"]
    spec: LossSpec


class MetricDefinition(DefinitionBlock):
    group: Literal["metrics"]
    spec: MetricSpec


class BatchProcessorDefinition(DefinitionBlock):
    group: Literal["batch_processors"]
    spec: BatchProcessorSpec


class BatchGraphDefinition(DefinitionBlock):
    group: Literal["batch_graphs"]
    spec: BatchGraphSpec


class GradientClipperDefinition(DefinitionBlock):
    group: Literal["gradient_clippers"]
    spec: GradientClipperSpec


class BackwardHookDefinition(DefinitionBlock):
    group: Literal["backward_hooks"]
    spec: HookSpec


class ForwardHookDefinition(DefinitionBlock):
    group: Literal["forward_hooks"]
    spec: HookSpec


DEFINITIONS: dict[str, type[DefinitionBlock]] = {
    "datasets": DatasetDefinition,
    "splits": SplitDefinition,
    "preprocessors": PreprocessorDefinition,
    "collators": CollatorDefinition,
    "loader_factories": LoaderFactoryDefinition,
    "models": ModelDefinition,
    "optimizers": OptimizerDefinition,
    "losses": LossDefinition,
    "metrics": MetricDefinition,
    "batch_processors": BatchProcessorDefinition,
    "batch_graphs": BatchGraphDefinition,
    "gradient_clippers": GradientClipperDefinition,
    "backward_hooks": BackwardHookDefinition,
    "forward_hooks": ForwardHookDefinition,
}

Definition = Annotated[
    DatasetDefinition
    | SplitDefinition
    | PreprocessorDefinition
    | CollatorDefinition
    | LoaderFactoryDefinition
    | ModelDefinition
    | OptimizerDefinition
    | LossDefinition
    | MetricDefinition
    | BatchProcessorDefinition
    | BatchGraphDefinition
    | GradientClipperDefinition
    | BackwardHookDefinition
    | ForwardHookDefinition,
    Field(discriminator="group"),
]


class InputFactorySpec(Block):
    """Feeds one port of the graph from a loader."""

    loader_factory: Name = Field(description="Gives the batches.")
    input_alias: Name | None = Field(None, description="The port; left out: the only one.")
    variable_names: Names | None = Field(
        None, description="Names of the columns; left out: `input_1`, `input_2`, …"
    )


class PipelineLossSpec(Block):
    """A loss of a pipeline."""

    loss_name: Name = Field(description="A loss of the definitions.")
    node_name: Name | None = Field(None, description="Whose frame; left out: the only processor.")
    loss_display_name: Name | None = Field(None, description="Left out: the loss's name.")
    weight: float = Field(1.0, description="Factor of this loss in the sum that is minimised.")

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


class PipelineSpec(Block):
    """A batch graph, the loaders that feed it, its losses and its metrics."""

    graph: Name | None = Field(None, description="Left out: the only graph.")
    input_factories: Annotated[list[InputFactorySpec], Field(min_length=1)] = Field(
        description="What feeds each port."
    )
    losses: list[PipelineLossSpec] = Field([], description="Summed, and minimised in training.")
    metrics: list[PipelineMetricSpec] = Field([], description="Measured in evaluation.")
    compile: Compile = Field(
        False, description="`torch.compile` for its graph and its losses in training, all as one."
    )
    gradient_accumulation: Count = Field(
        1, description="So many batches make one iteration: their gradients make one step."
    )


class DebugPipelineSpec(Block):
    """A look at the models in the middle of training."""

    graph: Name | None = Field(None, description="Left out: the only graph.")
    input_factories: Annotated[list[InputFactorySpec], Field(min_length=1)] = Field(
        description="What feeds each port."
    )
    num_iterations: Count = Field(1, description="Batches that are run each time.")
    interval: Count = Field(1, description="Run every so many iterations.")
    output_keys: Names = Field(["y_hat"], description="Columns that are kept.")
    postprocessor: ObjectSpec | None = Field(None, description="Called with the kept columns.")
    output_device: ObjectSpec | None = Field(None, description="Left out: they are printed.")


class InitializeSpec(Block):
    """What there is: the definitions, and the pipelines over them."""

    definitions: list[Definition] = Field(description="What the rest of the config names.")
    pipelines: Annotated[dict[str, PipelineSpec], Field(min_length=1)] = Field(
        {}, description="By name; left out: one that trains and one that validates."
    )
    debug_pipelines: dict[str, DebugPipelineSpec] = Field(
        {}, description="By name; stages name them."
    )


OnNonfinite = Literal["stop", "skip"]
Precision = Literal["float32", "tf32", "bf16", "fp16"]


class StageSpec(Block):
    """Pipelines that are trained together until a stop condition holds."""

    mode: Literal["interleave"] = Field(
        "interleave", description="An iteration runs each training pipeline once."
    )
    training_pipelines: Names = Field(description="In the order of an iteration.")
    validation_pipelines: list[Name] = Field([], description="Run after each epoch, in order.")
    debug_pipelines: list[
        Annotated[
            Annotated[Name, Tag("name")] | Annotated[DebugPipelineSpec, Tag("block")],
            Discriminator(lambda value: "name" if isinstance(value, str) else "block"),
        ]
    ] = Field([], description="Debug pipelines, or names of those under `initialize`.")
    stop_condition: ObjectSpec | None = Field(
        None,
        description="Called as `condition(epoch_in_stage, history)` after each epoch; left out: "
        "early stopping on the validation loss.",
    )
    on_nonfinite: OnNonfinite | None = Field(
        None, description="Left out: the `on_nonfinite` of the config."
    )
    eval_steps: EvalSteps | dict[str, EvalSteps] = Field(
        1.0, description="How much of each validation pipeline is run; a table says it by name."
    )


class TrainSpec(Block):
    """What is done: the stages, one after the other."""

    stages: Annotated[list[StageSpec], Field(min_length=1)] = Field(
        [], description="One after the other; left out: one, over all pipelines."
    )


class BestSpec(Block):
    """Which checkpoints are kept for how good they are."""

    monitor: Name = Field(description="A display name in the rows of a stage.")
    mode: Literal["min", "max"] = Field("min", description="Whether less is better, or more.")
    keep: Count = Field(1, description="So many are kept, beside the last ones.")


class CheckpointsSpec(Block):
    """When the state is saved, and how much of it is kept."""

    every_epochs: Count = Field(
        1, description="Saved after every so many epochs, and at the end of each stage."
    )
    every_iterations: Count | None = Field(
        None, description="Saved after every so many iterations too."
    )
    every_seconds: PositiveFloat | None = Field(
        None, description="Saved when so many seconds have passed since the last time, too."
    )
    keep_last: Count = Field(3, description="Only so many are kept.")
    best: BestSpec | None = Field(None, description="Those of the best epochs are kept too.")
    max_failed_saves: Count | None = Field(
        3,
        description="So many saves that fail one after the other end the run; `null`: it goes on, "
        "whatever fails.",
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
        None, description="Everything random follows from it; left out: drawn and written down."
    )
    device: Device = Field("auto", description="`auto` takes a GPU where there is one.")
    precision: Precision = Field(
        "float32",
        description="Of forward passes and losses: as torch does by default, with `tf32` on GPUs "
        "that have it, or mixed with `bf16` or `fp16`. Weights stay float32.",
    )
    checkpoints: CheckpointsSpec = Field(CheckpointsSpec(), description="When the state is saved.")
    on_nonfinite: OnNonfinite = Field(
        "stop",
        description="What is done where a loss or gradient is infinite or NaN: the run ends, or "
        "the batch is left out and counted in the column `skipped`.",
    )
    initialize: InitializeSpec = Field(description="What there is.")
    train: TrainSpec = Field(TrainSpec(), description="What is done.")

    def columns_of_stage(self, index: int) -> list[str]:
        """The columns of the history of a stage that losses and metrics have, in order."""
        stage, pipelines = self.train.stages[index], self.initialize.pipelines
        known = [name for name in stage.training_pipelines if name in pipelines]
        return list(
            row_columns(
                list(pipelines),
                {name: [loss.shown_as for loss in pipelines[name].losses] for name in known},
                {
                    name: [loss.shown_as for loss in pipelines[name].losses]
                    + [metric.shown_as for metric in pipelines[name].metrics]
                    for name in stage.validation_pipelines
                    if name in pipelines
                },
            ).values()
        )

    def group(self, name: str) -> dict[str, Any]:
        """The specs of one group, by name, as written."""
        return {d.name: d.spec for d in self.initialize.definitions if d.group == name}

    @property
    def default_validation(self) -> list[str]:
        """The validation pipelines of the last stage."""
        return self.train.stages[-1].validation_pipelines


class EvaluationSpec(Block):
    """What an evaluation config says beside what it lays over the session's config."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    variables: dict[str, Any] | None = Field(
        None, description="Values by name, for `${name}` in strings."
    )
    session_dir: FolderName = Field(description="Folder of the session.")
    validation_pipelines: Names | None = Field(
        None, description="Left out: those of the last stage."
    )
    initialize: dict[str, Any] = Field({}, description="Laid over the session's `initialize`.")
    eval_steps: EvalSteps | dict[str, EvalSteps] = Field(
        1.0, description="How much of each pipeline is run; a table says it by name."
    )
    device: Device | None = Field(None, description="Left out: as the session says.")


class InputMetaSpec(Block):
    """How the text of one input becomes a value for one port."""

    input_alias: Name | None = Field(None, description="The port; left out: the only one.")
    input_converter: ObjectSpec | None = Field(None, description="Left out: the text as it is.")
    transform: bool | None = Field(
        None,
        description="Whether the dataset's own `transform` goes over what the converter gives; "
        "left out: over images, texts and uint8 pixels.",
    )


class InferenceSpec(Block):
    """What an inference config says beside what it lays over the session's config."""

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
    post_processor: ObjectSpec | None = Field(None, description="Built with the session first.")
    output_device: ObjectSpec | None = Field(None, description="Left out: results are printed.")
    initialize: dict[str, Any] = Field({}, description="Laid over the session's `initialize`.")
    device: Device | None = Field(None, description="Left out: as the session says.")
