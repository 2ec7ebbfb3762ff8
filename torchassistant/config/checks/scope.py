"""What every check needs: the spec, what is defined in it, and where problems go."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from torchassistant.config.checks.name_mistakes import Known, Naming, Use
from torchassistant.config.dependencies import asks_the_session
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.groups.batch_processors import NodeSpec
from torchassistant.config.references import LOSSES, Key, module_named
from torchassistant.config.spec import DEFINITIONS as GROUPS
from torchassistant.config.spec import (
    DebugPipelineSpec,
    DefinitionBlock,
    InputFactorySpec,
    PipelineLossSpec,
    PipelineMetricSpec,
    PipelineSpec,
    Spec,
)
from torchassistant.config.tree import Path
from torchassistant.config.validate import PLACEHOLDER

T = TypeVar("T")
AnyPipeline = PipelineSpec | DebugPipelineSpec
Score = PipelineLossSpec | PipelineMetricSpec

DEFINITIONS: Path = ("initialize", "definitions")
PIPELINES: Path = ("initialize", "pipelines")
DEBUG_PIPELINES: Path = ("initialize", "debug_pipelines")


class Wiring(NamedTuple):
    """A batch graph as it is meant.

    Args:
        path: Where its spec stands.
        ports: What may be named as a port.
        nodes: What may be named as a node.
        fed_by: The ports and nodes that feed each node; None where that cannot be said.
        runs: The processor that each node is; None where that cannot be said.
    """

    path: Path
    ports: Known
    nodes: Known
    fed_by: dict[str, list[str | None] | None]
    runs: dict[str, str | None]


class Scope:
    """The names of a spec.

    Args:
        spec: The spec, completed.
        diagnostics: Where problems go, and which parts are broken.
        scored: Whether losses and metrics are to be computed.
    """

    def __init__(self, spec: Spec, diagnostics: Diagnostics, scored: bool = True) -> None:
        self.spec = spec
        self.scored = scored
        self.diagnostics = diagnostics
        self.note = diagnostics.note
        self.naming = Naming(diagnostics)
        self.read = self.naming.read
        self.wirings: dict[str, Wiring] = {}
        """The graphs by name, as soon as they are checked."""
        self._nodes: dict[Path, list[tuple[Path, NodeSpec | None]]] = {}
        self._listeners: dict[Path, list[tuple[str, Use]]] = {}
        self.defined: dict[Key, Any] = {}
        self.written_at: dict[Key, Path] = {}
        self._groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        lost = self.lost(spec.initialize.definitions, DEFINITIONS)
        if DEFINITIONS in diagnostics.dropped:
            lost = math.inf
        self.lost_anywhere = lost - len(diagnostics.ungrouped.keys() & diagnostics.broken)
        self._nameless: dict[str, list[str]] = {group: [] for group in GROUPS}
        for path, definition in self.sound(spec.initialize.definitions, DEFINITIONS):
            key = Key(definition.group, self.name_of(definition, path))
            if key.name != definition.name and diagnostics.is_broken((*path, "group")):
                self.lost_anywhere += 1
            elif key.name != definition.name:
                self._nameless[key.group].append(key.name)
            self.defined.setdefault(key, definition)
            self.written_at.setdefault(key, path)
            self._groups[key.group].setdefault(key.name, definition.spec)

    # What is broken

    def is_broken(self, path: Path, *keys: str | int) -> bool:
        """Whether what is at a path, or at a path of keys from there, cannot be relied on."""
        return self.diagnostics.is_broken((*path, *keys))

    def sound(self, items: Sequence[T], path: Path) -> Iterator[tuple[Path, T]]:
        """The items of a list that can be relied on, each with its path."""
        for index, item in enumerate(items):
            if not self.is_broken(path, index):
                yield (*path, index), item

    def lost(self, items: Sequence[Any], path: Path) -> float:
        """How many items of a list cannot be relied on; infinitely many, where it is broken."""
        if self.is_broken(path):
            return math.inf
        return sum(self.is_broken(path, index) for index in range(len(items)))

    def may_lack(self, *groups: str) -> bool:
        """Whether some group may have a definition more, which cannot be read."""
        return bool(self.diagnostics.ungrouped) or any(
            self.lost_anywhere or self._nameless[group] for group in groups
        )

    def is_reliable(self, graph: Path) -> bool:
        """Whether a graph is what is meant: a filled in one may hide what cannot be read."""
        is_written = self.diagnostics.is_written(graph)
        return is_written or not self.may_lack("batch_graphs", "batch_processors", "models")

    # Pipelines

    def pipelines(self, used: Collection[str] | None) -> Iterator[tuple[Path, str, AnyPipeline]]:
        """The pipelines that are to be run, each with its path and its name.

        Args:
            used: The names of those that are to be run; None where it is to be trained, and all
                are.
        """
        initialize = self.spec.initialize
        for name, pipeline in initialize.pipelines.items():
            if used is None or name in used:
                yield (*PIPELINES, name), name, pipeline
        if used is not None:
            return
        for name, debug in initialize.debug_pipelines.items():
            yield (*DEBUG_PIPELINES, name), name, debug
        for number, stage in enumerate(self.spec.train.stages):
            for index, item in enumerate(stage.debug_pipelines):
                if not isinstance(item, str):
                    path: Path = ("train", "stages", number, "debug_pipelines", index)
                    yield path, f"debug {index}", item

    def wiring(self, pipeline: AnyPipeline, path: Path) -> Wiring | None:
        """The graph of a pipeline, where it can be said which it is."""
        name = self.read(pipeline.graph or "", (*path, "graph"))
        # What cannot be read at all is filled in, where there is one choice.
        return self.wirings.get(name or pipeline.graph or "")

    def port(self, item: InputFactorySpec, path: Path, wiring: Wiring) -> str | None:
        """The port that an input factory feeds; the only one, where it names none."""
        name = self.read(item.input_alias or "", (*path, "input_alias"))
        return name or _only(wiring.ports)

    def node(self, score: Score, path: Path, wiring: Wiring) -> str | None:
        """The node that a loss or metric is computed from; the only one, where it names none."""
        name = self.read(score.node_name or "", (*path, "node_name"))
        return name or _only(wiring.nodes)

    def nodes(self, pipeline: AnyPipeline, path: Path) -> list[tuple[Path, NodeSpec | None]]:
        """The nodes that a pipeline runs, each with its path; None for what cannot be said."""
        wiring = self.wiring(pipeline, path)
        if wiring is None:
            return [(path, None)]
        if wiring.path not in self._nodes:
            self._nodes[wiring.path] = list(self._nodes_of(wiring))
        return self._nodes[wiring.path]

    def _nodes_of(self, wiring: Wiring) -> Iterator[tuple[Path, NodeSpec | None]]:
        for name in wiring.runs.values():
            spec = self.group("batch_processors").get(name or "")
            if spec is None or name is None:
                yield wiring.path, None
                continue
            here = (*self.at("batch_processors", name), "spec")
            if (asks_the_session(spec) and spec.is_object) or self.is_broken(here, "neural_graph"):
                yield wiring.path, None
            for index, node in enumerate(spec.neural_graph or []):
                at = (*here, "neural_graph", index)
                yield at, None if self.is_broken(at) else node

    def node_name(self, node: NodeSpec, path: Path) -> str | None:
        """The name of a node as it is meant; None where it cannot be read."""
        is_named = self.diagnostics.is_written((*path, "name"))
        meant = self.read(node.node_name, (*path, "name" if is_named else "model_name"))
        return node.node_name if meant and meant.startswith(PLACEHOLDER) else meant

    def listeners(self, pipeline: AnyPipeline, path: Path) -> list[tuple[str, Use]]:
        """The display names that schedulers of a pipeline's optimizers listen to, and when."""
        nodes = self.nodes(pipeline, path)
        key = nodes[0][0] if nodes else ()
        if key not in self._listeners:
            names = [
                self.read(node.optimizer_name or "", (*at, "optimizer_name"))
                for at, node in nodes
                if node is not None
            ]
            self._listeners[key] = list(dict.fromkeys(self._listeners_of(names)))
        of_losses = self.loss_optimizers(str(path[-1]))
        return [*self._listeners[key], *self._listeners_of(of_losses)]

    def _listeners_of(self, optimizers: Sequence[str | None]) -> Iterator[tuple[str, Use]]:
        for name in optimizers:
            optimizer = self.group("optimizers").get(name or "")
            scheduler = optimizer.lr_scheduler if optimizer else None
            if name and scheduler and scheduler.monitor:
                at = (*self.at("optimizers", name), "spec", "lr_scheduler")
                if not self.is_broken(at, "interval"):
                    yield scheduler.interval, Use(scheduler.monitor, (*at, "monitor"))

    def loss_optimizers(self, pipeline: str) -> list[str]:
        """The optimizers of the losses of a pipeline, by name."""
        spec = self.spec.initialize.pipelines.get(pipeline)
        if spec is None or not self._of_losses:
            return []
        path: Path = (*PIPELINES, pipeline, "losses")
        losses = [
            self.read(item.loss_name, (*path, index, "loss_name"))
            for index, item in enumerate(spec.losses)
        ]
        return [name for loss in losses for name in self._of_losses.get(loss or "", ())]

    def is_for_no_loss(self, optimizer: str) -> bool:
        """Whether an optimizer names a loss that is not there, which is told."""
        name = self.group("optimizers")[optimizer].model
        path = (*self.at("optimizers", optimizer), "spec", "model")
        return module_named(name).group == LOSSES and self.is_broken(path)

    @cached_property
    def _of_losses(self) -> dict[str, list[str]]:
        """The optimizers of each loss that has some, by name."""
        found: dict[str, list[str]] = {}
        for name, optimizer in self.group("optimizers").items():
            key = module_named(optimizer.model)
            loss = self.read(key.name, (*self.at("optimizers", name), "spec", "model"))
            if key.group == LOSSES and loss is not None:
                found.setdefault(loss, []).append(name)
        return found

    def may_train_something(self, pipeline: AnyPipeline, path: Path) -> bool:
        """Whether some node or loss of a pipeline has an optimizer, or may have one.

        An object that calls models by itself has none: what trains a model stands at a node.
        """
        if self.loss_optimizers(str(path[-1])):
            return True
        wiring = self.wiring(pipeline, path)
        if wiring is None:
            return True
        for name in wiring.runs.values():
            spec = self.group("batch_processors").get(name or "")
            here = (*self.at("batch_processors", name), "spec") if spec and name else ()
            if spec is None or self.is_broken(here, "neural_graph") or self.has_dropped(here):
                return True
            for index, node in enumerate(spec.neural_graph or []):
                at = (*here, "neural_graph", index)
                if self.is_broken(at) or self.may_train(at, node):
                    return True
        return False

    def may_train(self, path: Path, node: NodeSpec) -> bool:
        """Whether a node has an optimizer, if it can be read or not."""
        return node.optimizer_name is not None or self.is_broken(path, "optimizer_name")

    def has_dropped(self, path: Path) -> bool:
        """Whether a block had a key that nobody knows, so that it may not lack what it lacks."""
        return path in self.diagnostics.dropped

    # Definitions

    def name_of(self, definition: DefinitionBlock, path: Path) -> str:
        """The name of a definition; where it cannot be read, something that stands for it."""
        is_lost = self.is_broken(path, "name")
        return f"{PLACEHOLDER}{path[-1]}" if is_lost else definition.name

    def group(self, group: str) -> dict[str, Any]:
        """The specs of a group by name; of several with one name, the first."""
        return self._groups[group]

    def is_defined(self, name: str) -> bool:
        """Whether anything at all has a name."""
        return any(name in names for names in self._groups.values())

    def known(self, group: str) -> Known:
        """What may be named in a group; what is filled in has no name that anybody knows."""
        names = dict.fromkeys(
            name
            for name in self._groups[group]
            if self.diagnostics.is_written(self.at(group, name))
        )
        return Known(names, self.lost_anywhere, dict.fromkeys(self._nameless[group]))

    def is_sure(self, group: str, name: str) -> bool:
        """Whether a definition is of a group for certain, and does not only look like it."""
        return not self.is_broken(self.at(group, name), "group")

    @cached_property
    def fed_ports(self) -> dict[str, set[str]]:
        """The ports of each graph that some pipeline names."""
        fed: dict[str, set[str]] = {}
        for path, _, pipeline in self.pipelines(None):
            graph = self.read(pipeline.graph or "", (*path, "graph"))
            for item in pipeline.input_factories:
                fed.setdefault(graph or "", set()).add(item.input_alias or "")
        return fed

    def at(self, group: str, name: str) -> Path:
        """Where a definition stands."""
        return self.written_at[Key(group, name)]


def _only(known: Known) -> str | None:
    """The only name that there may be."""
    return next(iter(known.names)) if len(known.names) == 1 and not known.lost else None


def twice(names: Sequence[str], path: Path) -> Iterator[tuple[Path, str]]:
    """The names in a list that stand there already, each with its path."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield (*path, index), name
        seen.add(name)
