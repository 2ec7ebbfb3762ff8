"""What is minimised and what is measured: losses and metrics, computed from columns of a frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, Tag

from torchassistant.config.blocks import NAMES_OR_TABLE, Name, Names, ObjectSpec
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.references import Reference
from torchassistant.config.role import CALLABLE, METRIC, MODULE, TRANSFORM, Role

TORCHMETRICS = "torchmetrics.*"

TRANSFORM_OF_SCORE = Role(
    "transform",
    "transform (it cannot be called)",
    ("torchassistant.transforms",),
    methods=CALLABLE,
    kind=TRANSFORM,
    other_kinds=(MODULE,),
    given=("the session",),
    or_itself=True,
)


COUNT_OF_LOSS = Role(
    "count",
    "count (it cannot be called)",
    methods=CALLABLE,
    other_kinds=(MODULE,),
    or_itself=True,
    or_name=True,
)


class ScoreSpec(ObjectSpec):
    """Something computed from columns of a frame: a loss or a metric."""

    inputs: Annotated[
        Annotated[Names, Tag("names")]
        | Annotated[dict[Name, Name], Field(min_length=1), Tag("table")],
        NAMES_OR_TABLE,
    ] = Field(
        description="Columns of the node's frame, in the order of arguments; or an object, "
        "parameter → column: it is called by keyword."
    )
    transform: Annotated[Name | ObjectSpec | None, TRANSFORM_OF_SCORE] = Field(
        None,
        description="Turns the inputs into arguments: a function, or a class built with the "
        "session.",
    )


class LossSpec(ScoreSpec):
    """A loss: a callable from tensors to a scalar tensor."""

    inputs: Annotated[
        Annotated[list[Name], Tag("names")]
        | Annotated[dict[Name, Name], Field(min_length=1), Tag("table")],
        NAMES_OR_TABLE,
    ] = Field(
        description="Columns of the node's frame, in the order of arguments; or an object, "
        "parameter → column: it is called by keyword. An empty list for a loss of `models` alone."
    )
    models: list[Name] = Field(
        [], description="Models that it is called with, before what is made of its inputs."
    )
    optimizer_name: Name | None = Field(
        None,
        description="What trains its models in the pipelines that have it; left out: the "
        "optimizers of their nodes, as far as they hold them.",
    )
    count: Annotated[Name | ObjectSpec | None, COUNT_OF_LOSS] = Field(
        None,
        description="What it is a mean over: a column, of which the sum counts, or a function of "
        "what it gets, without models; left out: the examples.",
    )
    report: list[Name] = Field(
        [], description="Keys of the dict that it gives which are shown, and not minimised."
    )


def _references_of_loss(spec: LossSpec) -> Iterator[Reference]:
    for index, name in enumerate(spec.models):
        yield Reference(("models", index), "models", name)
    if spec.optimizer_name:
        yield Reference(("optimizer_name",), "optimizers", spec.optimizer_name)


class MetricSpec(ScoreSpec):
    """A metric with ``update``, ``compute`` and ``reset``."""


LOSSES = Group(
    "losses",
    "loss",
    LossSpec,
    section="losses and metrics",
    references=_references_of_loss,
    later=("optimizer_name",),
    role=Role(
        "losses",
        "loss (it cannot be called)",
        ("torch.nn", "torchassistant.losses"),
        methods=CALLABLE,
        kind=MODULE,
        other_kinds=(METRIC,),
        holds=(METRIC,),
        or_itself=True,
    ),
    state="results",
    held=lambda spec: ("",) if spec.transform is None else ("", "transform"),
    follows_arguments=True,
    changes=(
        Rule("spec.models.**", "refused", "they decide what is minimised"),
        Rule("spec.report.**", "refused", "it decides what is minimised"),
        Rule("spec.count.**", "refused", "it decides how much each batch counts"),
        Rule("spec.optimizer_name", "refused", "it decides what is trained"),
    ),
)

METRICS = Group(
    "metrics",
    "metric",
    MetricSpec,
    section="losses and metrics",
    may_be_unused=True,
    role=Role(
        "metrics",
        "metric (it has no update, compute and reset)",
        ("torchassistant.metrics", TORCHMETRICS),
        methods=(("update", "compute", "reset"), *CALLABLE),
        kind=METRIC,
        other_kinds=(MODULE,),
        holds=(METRIC,),
        or_itself=True,
    ),
    state="results",
    follows_arguments=True,
)
