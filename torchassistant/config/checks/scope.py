"""What every check needs: the config as seen, what is defined in it, and where problems go."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from torchassistant.config.block_fields import PLACEHOLDER
from torchassistant.config.checks.resolver import Names, Resolver, Use
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import Items, View
from torchassistant.config.dependencies import asks_the_session, needed_by
from torchassistant.config.diagnostics import Diagnostics
from torchassistant.config.groups import GROUPS
from torchassistant.config.references import LOSSES, Key, module_named, target
from torchassistant.config.spec import Spec
from torchassistant.config.tree import Path
from torchassistant.config.unread_columns import unread_columns

DEFINITIONS: Path = ("initialize", "definitions")
PIPELINES: Path = ("initialize", "pipelines")
DEBUG_PIPELINES: Path = ("initialize", "debug_pipelines")


class Wiring(NamedTuple):
    """A batch graph as it is meant.

    Args:
        graph: Its spec.
        ports: What may be named as a port.
        nodes: What may be named as a node.
        fed_by: The ports and nodes that feed each node, as far as they are known.
        runs: The processor that each node is, or unknown.
    """

    graph: View
    ports: Names
    nodes: Names
    fed_by: Mapping[str, Iterable[Any]]
    runs: dict[str, Any]


class Group(dict[Any, Any]):
    """The definitions of a group by name; of several with one name, the first.

    What it has not is unknown: it is reported where it is named.
    """

    def __missing__(self, name: object) -> Unknown:
        return Unknown()


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
        self.resolver = Resolver(diagnostics)
        self.config = View(spec, (), self.resolver)
        self.wirings: dict[str, Wiring] = {}
        """The graphs by name, as soon as they are checked."""
        self._nodes: dict[Path, list[Any]] = {}
        self._listeners: dict[Path, list[tuple[str, Use]]] = {}
        self.definitions: dict[Key, View] = {}
        self.groups = {group: Group() for group in GROUPS}
        self._nameless: dict[str, list[str]] = {group: [] for group in GROUPS}
        items = self.config.initialize.definitions
        self.groupless = set(diagnostics.ungrouped.values())
        """The names of definitions of which nobody can say what they are."""
        self._ungrouped = items.unreadable - len(diagnostics.ungrouped.keys() & diagnostics.broken)
        """How many definitions may be of any group."""
        if DEFINITIONS in diagnostics.dropped:
            self._ungrouped = math.inf
        for definition in items:
            self._define(definition)

    @cached_property
    def unread(self) -> frozenset[str]:
        """The names of loaders' columns that no frame gets."""
        return unread_columns(self.spec)

    def _define(self, definition: View) -> None:
        key = Key(definition.block.group, self.name_of(definition))
        if isinstance(definition.name, Unknown):
            if isinstance(definition.group, Unknown):
                self._ungrouped += 1
            else:
                self._nameless[key.group].append(key.name)
        self.definitions.setdefault(key, definition)
        self.groups[key.group].setdefault(key.name, definition)

    # Definitions

    def name_of(self, definition: View) -> str:
        """The name of a definition; where it cannot be read, something that stands for it."""
        name = definition.name
        return f"{PLACEHOLDER}{definition.path[-1]}" if isinstance(name, Unknown) else str(name)

    def is_defined(self, name: str) -> bool:
        """Whether anything at all has a name."""
        return any(name in names for names in self.groups.values())

    def names(self, group: str) -> Names:
        """What may be named in a group; what is filled in has no name that anybody knows."""
        is_written = self.diagnostics.is_written
        names = [name for name, found in self.groups[group].items() if is_written(found.path)]
        return Names(dict.fromkeys(names), self._ungrouped, dict.fromkeys(self._nameless[group]))

    def are_complete(self, *groups: str) -> bool:
        """Whether no group may have a definition more, which cannot be read."""
        nameless = any(self._nameless[group] for group in groups)
        return not (self._ungrouped or nameless or self.groupless)

    def needs(self, definition: View) -> Iterator[tuple[Key, Path]]:
        """The definitions that one is built with, and where it names them."""
        for reference in needed_by(definition.block):
            path = definition.at(*reference.path)
            name = self.resolver.written(Use(reference.name, path))
            found = None if isinstance(name, Unknown) else target(reference, self.definitions)
            if found is not None:
                yield found, path

    def is_meant(self, graph: View | Unknown) -> bool:
        """Whether a graph is what is meant: a filled in one may hide what cannot be read."""
        if isinstance(graph, Unknown):
            return False
        is_written = self.diagnostics.is_written(graph.path)
        return is_written or self.are_complete("batch_graphs", "batch_processors", "models")

    # Models

    @cached_property
    def models(self) -> dict[str, Any]:
        """The specs of all models by name."""
        return {name: model.block.spec for name, model in self.groups["models"].items()}

    # Optimizers

    def modules_of(self, optimizer: Any) -> list[tuple[Path, Key]]:
        """What an optimizer is for, as it is written: the keys of models and losses, and where."""
        spec = optimizer.spec
        return [(spec.at(*path), module_named(name)) for path, name in spec.block.models]

    def held_by(self, optimizer: Any) -> list[Key]:
        """The keys of the models and losses that an optimizer is for, as they are written."""
        return [key for _, key in self.modules_of(optimizer)]

    def is_for_no_loss(self, optimizer: View) -> bool:
        """Whether an optimizer names a loss that is not there, which is reported."""
        return any(
            key.group == LOSSES and isinstance(self.resolver.written(Use(key.name, path)), Unknown)
            for path, key in self.modules_of(optimizer)
        )

    @cached_property
    def _of_losses(self) -> dict[str, list[Any]]:
        """The optimizers of each loss that has some."""
        found: dict[str, list[Any]] = {}
        for optimizer in self.groups["optimizers"].values():
            for path, key in self.modules_of(optimizer):
                if key.group == LOSSES:
                    loss = self.resolver.meaning(Use(key.name, path))
                    found.setdefault(loss, []).append(optimizer)
        return found

    def loss_optimizers(self, pipeline: str) -> list[Any]:
        """The optimizers of the losses of a pipeline, and of the models that these name."""
        found: list[Any] = []
        for item in self.pipeline(pipeline).losses:
            found += self._of_losses.get(item.loss_name, ())
            name = self.groups["losses"][item.loss_name].spec.optimizer_name
            if name is not None:
                found.append(self.groups["optimizers"][name])
        return found

    # Pipelines

    def pipeline(self, name: Any) -> Any:
        """The pipeline of a name; unknown where there is none, which is reported."""
        found = self.spec.initialize.pipelines.get(name)
        return Unknown() if found is None else View(found, (*PIPELINES, name), self.resolver)

    def pipelines(self, used: Collection[str] | None) -> Iterator[tuple[str, View]]:
        """The pipelines that are to be run, each with its name.

        Args:
            used: The names of those that are to be run; None where it is to be trained, and all
                are.
        """
        for name in self.spec.initialize.pipelines:
            if used is None or name in used:
                yield name, self.pipeline(name)
        if used is not None:
            return
        for name, debug in self.spec.initialize.debug_pipelines.items():
            yield name, View(debug, (*DEBUG_PIPELINES, name), self.resolver)
        for stage in self.config.train.stages:
            for item in stage.debug_pipelines:
                if isinstance(item, View):
                    yield f"debug {item.path[-1]}", item

    @cached_property
    def fed_ports(self) -> dict[Any, set[str]]:
        """The ports of each graph that some pipeline names; what is filled in names none."""
        fed: dict[Any, set[str]] = {}
        for _, pipeline in self.pipelines(None):
            items = [item for item in pipeline.input_factories if item.has("input_alias")]
            ports = {item.block.input_alias for item in items}
            fed.setdefault(pipeline.graph, set()).update(ports)
        return fed

    def wiring(self, pipeline: View) -> Any:
        """The graph of a pipeline; unknown where it cannot be said which it is."""
        graph = pipeline.graph
        # What cannot be read at all is filled in, where there is one choice.
        name = pipeline.block.graph if isinstance(graph, Unknown) else graph
        return self.wirings.get(name, Unknown())

    def port(self, item: View, wiring: Any) -> Any:
        """The port that an input factory feeds; the only one, where it names none."""
        return _or_only(item.input_alias, wiring.ports)

    def node(self, score: View, wiring: Any) -> Any:
        """The node that a loss or metric is computed from; the only one, where it names none."""
        return _or_only(score.node_name, wiring.nodes)

    def nodes(self, pipeline: View) -> list[Any]:
        """The nodes that a pipeline runs; unknown ones for what cannot be said."""
        wiring = self.wiring(pipeline)
        if isinstance(wiring, Unknown):
            return [wiring]
        path = wiring.graph.path
        if path not in self._nodes:
            self._nodes[path] = list(self._nodes_of(wiring))
        return self._nodes[path]

    def _nodes_of(self, wiring: Wiring) -> Iterator[Any]:
        for name in wiring.runs.values():
            spec = self.groups["batch_processors"][name].spec
            graph = spec.neural_graph
            if graph is None and asks_the_session(spec.block):
                yield Unknown()
            yield from [graph] if isinstance(graph, Unknown) else graph.all() if graph else ()

    def node_name(self, node: View) -> Any:
        """The name of a node as it is meant."""
        meant = node.name if node.has("name") else node.model_name
        is_nameless = isinstance(meant, str) and meant.startswith(PLACEHOLDER)
        return node.block.node_name if is_nameless else meant

    def may_train_something(self, pipeline: View) -> bool:
        """Whether some node or loss of a pipeline has an optimizer, or may have one.

        An object that calls models by itself has none: what trains a model stands at a node.
        """
        wiring = self.wiring(pipeline)
        if isinstance(wiring, Unknown) or self.loss_optimizers(str(pipeline.path[-1])):
            return True
        specs = [self.groups["batch_processors"][name].spec for name in wiring.runs.values()]
        return any(
            not spec.complete
            or isinstance(spec.neural_graph, Unknown)
            or any(map(may_train, spec.neural_graph.all() if spec.neural_graph else ()))
            for spec in specs
        )

    def listeners(self, pipeline: View) -> list[tuple[str, Use]]:
        """The display names that schedulers of a pipeline's optimizers listen to, and when."""
        nodes = self.nodes(pipeline)
        graph = self.wiring(pipeline).graph.path
        if graph not in self._listeners:
            names = [name for node in nodes for name in optimizers_of(node)]
            optimizers = [self.groups["optimizers"][name] for name in names]
            self._listeners[graph] = list(dict.fromkeys(_listeners(optimizers)))
        of_losses = self.loss_optimizers(str(pipeline.path[-1]))
        return [*self._listeners[graph], *_listeners(of_losses)]


def in_words(keys: Iterable[Key]) -> str:
    """Models and losses, as ``the model "encoder" and the loss "center"``."""
    words = (f'the {"model" if key.group == "models" else "loss"} "{key.name}"' for key in keys)
    return " and ".join(words)


def may_train(node: Any) -> bool:
    """Whether a node has an optimizer, if it can be read or not."""
    return node.optimizer_name is not None


def optimizers_of(node: Any) -> list[Any]:
    """What a node means by the names of its optimizers, if that can be read or not."""
    named = node.optimizer_name
    if named is None:
        return []
    return named.all() if isinstance(named, Items) else [named]


def _listeners(optimizers: Iterable[Any]) -> Iterator[tuple[str, Use]]:
    for optimizer in optimizers:
        scheduler = optimizer.spec.lr_scheduler
        is_read = isinstance(scheduler, View) and not isinstance(scheduler.interval, Unknown)
        if is_read and scheduler.block.monitor:
            yield scheduler.interval, scheduler.use("monitor")


def _or_only(name: Any, known: Any) -> Any:
    return known.only if name is None or isinstance(name, Unknown) else name
