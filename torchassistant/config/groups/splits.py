"""Datasets cut at random into slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, PositiveFloat

from torchassistant.config.blocks import Block, Name
from torchassistant.config.groups.group import Group
from torchassistant.config.references import DATASET_OR_SLICE, Reference


class SplitSpec(Block):
    """A random split of one dataset into ``name.train``, ``.val``, ``.test``, or ``name[i]``."""

    dataset_name: Name = Field(description="A dataset, or a slice of another split.")
    ratio: Annotated[list[PositiveFloat], Field(min_length=1)] = Field(
        description="Share of each slice; they add up to 1."
    )


def _references(spec: SplitSpec) -> Iterator[Reference]:
    yield Reference(("dataset_name",), DATASET_OR_SLICE, spec.dataset_name)


SPLITS = Group("splits", "split", SplitSpec, section="splits", references=_references)
