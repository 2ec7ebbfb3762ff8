"""Datasets cut at random into slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Discriminator, Field, PositiveFloat, Tag

from torchassistant.config.blocks import Block, Name, Position
from torchassistant.config.groups.group import Group
from torchassistant.config.references import DATASET_OR_SLICE, Reference

Column = Annotated[
    Annotated[Position, Tag("place")] | Annotated[Name, Tag("key")],
    Discriminator(lambda value: "key" if isinstance(value, str) else "place"),
]
"""Of an example: its place, or its key."""


class SplitSpec(Block):
    """A random split of one dataset into ``name.train``, ``.val``, ``.test``, or ``name[i]``."""

    dataset_name: Name = Field(description="A dataset, or a slice of another split.")
    ratio: Annotated[list[PositiveFloat], Field(min_length=1)] | None = Field(
        None, description="Share of each slice; they add up to 1. This or `folds` is needed."
    )
    folds: Annotated[int, Field(ge=2, lt=2**63)] | None = Field(
        None,
        description="Number of parts for cross-validation: `.val` is one of them, `.train` the "
        "others.",
    )
    fold: Position | None = Field(
        None, description="With `folds`: which part is `.val`, from 0. Left out: 0."
    )
    stratify: Column | None = Field(
        None,
        description="The column with the classes, which have the same shares in all slices: its "
        "key, or its place in an example, from 0.",
    )
    group_by: Column | None = Field(
        None,
        description="The column that says what belongs together, such as a patient: all examples "
        "with one value are in one slice.",
    )

    @property
    def count(self) -> int:
        """How many slices it has."""
        return 2 if self.ratio is None else len(self.ratio)


def _references(spec: SplitSpec) -> Iterator[Reference]:
    yield Reference(("dataset_name",), DATASET_OR_SLICE, spec.dataset_name)


SPLITS = Group("splits", "split", SplitSpec, section="splits", references=_references)
