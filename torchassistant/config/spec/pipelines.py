"""Pipelines of the config: what feeds a graph, and what is done with its frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from torchassistant.config.blocks import Block, Compile, Count, Name, Names, ObjectSpec
from torchassistant.config.role import (
    ADAPTER,
    BATCH_PROCESSOR,
    CALLABLE,
    COMBINE,
    MODULE,
    NO_TRACE,
    OUTPUT_DEVICE,
    STEP,
    WEIGHT,
    Role,
)

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
    or_itself=True,
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


class _FedGraphSpec(Block):
    """A batch graph, and the loaders that feed it."""

    like: Name | None = Field(
        None,
        description="Another of its kind, from which it has [all that it does not say](#like).",
    )
    graph: Name | None = Field(None, description="Left out: the only graph.")
    input_factories: Annotated[list[InputFactorySpec], Field(min_length=1)] = Field(
        description="What feeds each port."
    )
    models: Annotated[dict[Name, Name], Field(min_length=1)] | None = Field(
        None, description="Models that run in the place of others: the other's name to its own."
    )


class PipelineSpec(_FedGraphSpec):
    """A batch graph, the loaders that feed it, its losses and its metrics."""

    losses: list[PipelineLossSpec] = Field([], description="Summed, and minimised in training.")
    normalize_weights: bool = Field(
        False, description="Whether the weights of its losses are divided by their sum."
    )
    metrics: list[PipelineMetricSpec] = Field([], description="Measured in evaluation.")
    display_prefix: Name | None = Field(
        None,
        description="Stands before the display names of its losses and metrics, as `val `.",
    )
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
    or_itself=True,
    code=NO_TRACE,
)
OUTPUT_DEVICE_ROLE = Role(
    "output_device",
    "output device (it cannot be called)",
    ("torchassistant.output_devices",),
    methods=CALLABLE,
    kind=OUTPUT_DEVICE,
    or_itself=True,
    code=NO_TRACE,
)


class DebugPipelineSpec(_FedGraphSpec):
    """A look at the models in the middle of training."""

    num_iterations: Count = Field(1, description="Batches that are run each time.")
    interval: Count = Field(1, description="Run every N iterations.")
    output_keys: Names = Field(["y_hat"], description="Columns that are kept.")
    postprocessor: Annotated[ObjectSpec | None, POSTPROCESSOR] = Field(
        None, description="Called with the kept columns."
    )
    output_device: Annotated[ObjectSpec | None, OUTPUT_DEVICE_ROLE] = Field(
        None, description="Left out: they are printed."
    )
    log: bool = Field(
        False,
        description="Keep them, as images, with the history, from where loggers take them; "
        "without an `output_device` nothing is printed then.",
    )
