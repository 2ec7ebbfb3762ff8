"""Batch graphs: processors joined by edges."""

from __future__ import annotations

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.groups.assembler import Assembler, no_members
from torchassistant.graph import BatchGraph


def _build(context: BuildContext, one: Defined) -> BatchGraph:
    spec = one.spec
    processors = {node: context.parts.batch_processors[node] for node in spec.nodes}
    # Models stand for themselves, but may hide others where they do not count as their parts.
    objects = [part for processor in processors.values() for part in processor.parts]
    called = context.calls_of(objects)
    return BatchGraph(one.name, processors, spec.input_aliases, spec.ingoing_edges, called)


BATCH_GRAPHS = Assembler(_build, no_members)
