"""What every check needs: the spec, what is defined in it, and where problems go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchassistant.config.findings import Findings
from torchassistant.config.references import (
    DATASET_OR_SLICE,
    Key,
    as_slice,
)
from torchassistant.config.spec import (
    BatchGraphSpec,
    DebugPipelineSpec,
    NodeSpec,
    PipelineSpec,
    Spec,
)
from torchassistant.config.tree import Path
from torchassistant.errors import listing, near, nearest

_WHAT = {
    "batch_processors": "batch processor",
    "batch_graphs": "batch graph",
    "loader_factories": "loader factory",
    "losses": "loss",
    DATASET_OR_SLICE: "dataset or slice",
}
DEFINITIONS: Path = ("initialize", "definitions")
PIPELINES: Path = ("initialize", "pipelines")


class Scope:
    """The names of a spec.

    Args:
        spec: The spec, completed.
        findings: Where problems go, and which parts are broken.
        scored: Whether losses and metrics are to be computed.
    """

    def __init__(self, spec: Spec, findings: Findings, scored: bool = True) -> None:
        self.spec = spec
        self.scored = scored
        self.findings = findings
        self.note = findings.note
        self.defined: dict[Key, Any] = {}
        self.written_at: dict[Key, Path] = {}
        for index, definition in enumerate(spec.initialize.definitions):
            key = Key(definition.group, definition.name)
            self.defined.setdefault(key, definition)
            self.written_at.setdefault(key, (*DEFINITIONS, index))

    def names_of(self, group: str) -> list[str]:
        """The names of a group; slices count as datasets where both may stand."""
        if group == DATASET_OR_SLICE:
            return [*self.names_of("datasets"), *self.slices()]
        return [
            key.name
            for key in self.defined
            if key.group == group and not self.findings.is_broken((*self.written_at[key], "name"))
        ]

    def slices(self) -> Iterator[str]:
        """The names of the slices of all splits."""
        words = ("train", "val", "test")
        for name, split in self.spec.group("splits").items():
            for index in range(len(split.ratio)):
                yield f"{name}.{words[index]}" if index < 3 else f"{name}[{index}]"

    def reference(self, group: str, name: str, path: Path) -> None:
        """Note it where a name means nothing."""
        from_split = as_slice(name) if group == DATASET_OR_SLICE else None
        splits = self.spec.group("splits")
        if from_split and from_split.split in splits and name not in self.names_of("datasets"):
            count = len(splits[from_split.split].ratio)
            at = (*self.written_at[Key("splits", from_split.split)], "spec", "ratio")
            if from_split.position >= count and self.findings.is_whole(at):
                known = [s for s in self.slices() if s.startswith(from_split.split)]
                message = f'the split "{from_split.split}" has {count} slices: {listing(known)}'
                self.note(f"{message}; found {name!r}", path)
        elif group == DATASET_OR_SLICE:
            if Key("datasets", name) not in self.defined:
                self.unknown(group, name, path)
        elif Key(group, name) not in self.defined:
            self.unknown(group, name, path)

    def unknown(self, group: str, name: str, path: Path) -> None:
        """Note a name that no definition of the group has, unless one may have it after all."""
        known = self.names_of(group)
        if self._may_be_defined(group, name) and not nearest(name, known):
            return
        what = _WHAT.get(group, group.removesuffix("s").replace("_", " "))
        self.note(f'no {what} is named "{name}"{near(name, known)}', path)

    def _may_be_defined(self, group: str, name: str) -> bool:
        """Whether something broken may be the definition of this name."""
        broken = self.findings.broken
        if name in self.findings.nameless or ("initialize",) in broken or DEFINITIONS in broken:
            return True
        groups = ("datasets", "splits") if group == DATASET_OR_SLICE else (group,)
        return any(
            key.group in groups and self.findings.is_broken((*at, "name"))
            for key, at in self.written_at.items()
        )

    def at(self, group: str, name: str | None) -> Path:
        """Where a definition stands; the list of definitions, where there is none."""
        return self.written_at.get(Key(group, name or ""), DEFINITIONS)

    def graph(self, pipeline: PipelineSpec | DebugPipelineSpec) -> BatchGraphSpec | None:
        """The graph of a pipeline, where it is defined."""
        found: BatchGraphSpec | None = self.spec.group("batch_graphs").get(pipeline.graph or "")
        return found

    def nodes(self, graph: BatchGraphSpec | None) -> Iterator[tuple[str, NodeSpec]]:
        """The nodes of a graph, each with its processor's name."""
        processors = self.spec.group("batch_processors")
        for name in graph.nodes if graph else []:
            for node in (processors[name].neural_graph or []) if name in processors else []:
                yield name, node

    def is_graph_whole(self, name: str | None) -> bool:
        """Whether a graph and all of its processors are defined, and nothing in them is broken."""
        graph = self.spec.group("batch_graphs").get(name or "")
        if graph is None or not self.findings.is_whole(self.at("batch_graphs", name)):
            return False
        processors = self.spec.group("batch_processors")
        return all(
            node in processors and self.findings.is_whole(self.at("batch_processors", node))
            for node in graph.nodes
        )
