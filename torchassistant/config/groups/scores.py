"""What losses and metrics have in common: something computed from columns of a frame."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from torchassistant.config.blocks import Name, Names, ObjectSpec
from torchassistant.config.role import CALLABLE, MODULE, TRANSFORM, Role

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


class ScoreSpec(ObjectSpec):
    """Something computed from columns of a frame: a loss or a metric."""

    inputs: Names = Field(description="Columns of the node's frame, in the order of arguments.")
    transform: Annotated[Name | ObjectSpec | None, TRANSFORM_OF_SCORE] = Field(
        None,
        description="Turns the inputs into arguments: a function, or a class built with the "
        "session.",
    )
