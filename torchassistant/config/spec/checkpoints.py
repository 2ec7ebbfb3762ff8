"""Checkpoints, in the config: when the state is saved, and which ones are kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from torchassistant.config.blocks import Block, Count, Name


class BestSpec(Block):
    """Which checkpoints are kept for how good they are."""

    monitor: Name = Field(description="A display name in the rows of a stage.")
    mode: Literal["min", "max"] | None = Field(
        None,
        description="Whether less is better, or more; left out: what the metric says, else `min`.",
    )
    keep: Count = Field(1, description="How many are kept in addition to the last ones.")
    weights_only: bool = Field(
        False,
        description="Whether the weights of the best stand in `weights/best/MONITOR/` too, a file "
        "for each model.",
    )


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
    best: (
        Annotated[
            Annotated[BestSpec, Tag("block")]
            | Annotated[list[BestSpec], Field(min_length=1), Tag("list")],
            Discriminator(lambda value: "list" if isinstance(value, list) else "block"),
        ]
        | None
    ) = Field(
        None, description="Those of the best epochs are kept too; a list: by several monitors."
    )
    max_failed_saves: Count | None = Field(
        3,
        description="Failed saves in a row that end the run; `null`: it always continues.",
    )

    @property
    def bests(self) -> list[BestSpec]:
        """By what the best are chosen; ``best`` alone means the first."""
        if self.best is None:
            return []
        return self.best if isinstance(self.best, list) else [self.best]

    @model_serializer(mode="wrap")
    def _with_null(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is None is left out elsewhere, and is read again as what it stands for there."""
        data: dict[str, Any] = whole(self)
        if self.max_failed_saves is None:
            data["max_failed_saves"] = None
        return data
