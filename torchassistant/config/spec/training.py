"""The whole of a training config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from torchassistant.config.blocks import Block, Count, Device, FolderName, Names
from torchassistant.config.groups.models import ModelSpec
from torchassistant.config.history_columns import row_columns
from torchassistant.config.spec.checkpoints import CheckpointsSpec
from torchassistant.config.spec.definitions import Definition
from torchassistant.config.spec.distributed import DistributedSpec
from torchassistant.config.spec.inference import InferenceBlock
from torchassistant.config.spec.pipelines import DebugPipelineSpec, PipelineSpec
from torchassistant.config.spec.stages import OnNonfinite, StageEvaluatorSpec, TrainSpec

Precision = Literal["float32", "tf32", "bf16", "fp16"]


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


class LogSpec(Block):
    """Which rows are written within the epochs."""

    every_iterations: Count = Field(
        description="After every N iterations a row of running losses, learning rates and norms "
        "of gradients is added to `metrics/steps-0.csv`."
    )


class Spec(Block):
    """A training config."""

    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    include: Names | None = Field(
        None,
        alias="$include",
        description="Files that are [laid under this one](#included-files).",
    )
    variables: dict[str, Any] | None = Field(
        None, description="Values by name, for `${name}` in strings."
    )
    session_dir: FolderName | None = Field(None, description="Folder of the session.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Seed of everything random; left out: drawn and stored."
    )
    device: Device = Field(
        "auto",
        description="`auto` takes a GPU if there is one; of several processes each has its own, "
        "with `auto` or `cuda`.",
    )
    precision: Precision = Field(
        "float32",
        description="Of forward passes and losses: torch's default, `tf32` on GPUs that have it, "
        "or mixed precision with `bf16` or `fp16`. Weights stay float32.",
    )
    deterministic: bool = Field(
        False,
        description="On a GPU, only kernels that give the same bits in every run; slower.",
    )
    checkpoints: CheckpointsSpec = Field(
        CheckpointsSpec(), description="When checkpoints are saved."
    )
    log: LogSpec | None = Field(
        None, description="When rows are written within the epochs; left out: never."
    )
    distributed: DistributedSpec | None = Field(
        None,
        description="How several processes train together; left out: by the defaults, where there "
        "are several.",
    )
    on_nonfinite: OnNonfinite = Field(
        "stop",
        description="If a loss or gradient is infinite or NaN: end the run, or skip the batch and "
        "count it in the column `skipped`.",
    )
    initialize: InitializeSpec = Field(description="The objects and the pipelines.")
    train: TrainSpec = Field(TrainSpec(), description="The stages of the training.")
    inference: InferenceBlock | None = Field(
        None,
        description="What an [inference config](#inference-configs) says, for `infer` with the "
        "session folder alone.",
    )

    def columns_of_stage(self, index: int) -> list[str]:
        """The columns of the history of a stage that losses and metrics have, in order."""
        stage, pipelines = self.train.stages[index], self.initialize.pipelines
        known = [name for name in stage.trained_pipelines if name in pipelines]
        return list(
            row_columns(
                list(pipelines),
                {
                    name: pipelines[name].trained_losses + stage.measured(name, pipelines[name])
                    for name in known
                },
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

    def callbacks_of_stage(self, index: int) -> list[str]:
        """The names of what is called in a stage, in this order."""
        return [*self.train.callbacks, *self.train.stages[index].callbacks]

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

    @property
    def default_evaluators(self) -> list[StageEvaluatorSpec]:
        """The evaluators of the last stage."""
        return self.train.stages[-1].evaluators
