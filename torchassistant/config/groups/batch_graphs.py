"""Batch processors joined by edges."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from torchassistant.config.blocks import Block, Name, Names
from torchassistant.config.groups.group import Group
from torchassistant.config.references import Reference


class BatchGraphSpec(Block):
    """Batch processors joined by edges."""

    nodes: Names = Field(description="Names of batch processors.")
    input_aliases: list[Name] = Field([], description="Names of the input ports.")
    ingoing_edges: dict[str, Names] = Field(
        {}, description="For each processor, the ports and processors that feed it, in order."
    )


def _references(spec: BatchGraphSpec) -> Iterator[Reference]:
    for index, name in enumerate(spec.nodes):
        yield Reference(("nodes", index), "batch_processors", name)


BATCH_GRAPHS = Group(
    "batch_graphs",
    "batch graph",
    BatchGraphSpec,
    section="batch_graphs",
    references=_references,
    is_shared=True,
)
