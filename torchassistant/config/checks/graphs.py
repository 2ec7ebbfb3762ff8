"""One neural graph, and one batch graph, each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from torchassistant.config.block_fields import PLACEHOLDER
from torchassistant.config.checks.resolver import Names, Use, hint
from torchassistant.config.checks.scope import Scope, Wiring, in_words
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import Items, View, columns_in, outputs_of, seen
from torchassistant.config.groups.models import is_part
from torchassistant.config.references import Key
from torchassistant.config.toposort import cycle_text, cycles, reachable, suspect_step
from torchassistant.config.tree import Path
from torchassistant.errors import near


def check_processor(scope: Scope, spec: View) -> None:
    """Check the nodes of a processor: their names, their outputs, their optimizers."""
    made: dict[str, str] = {}
    names: set[str] = set()
    for node in spec.neural_graph or ():
        _optimizer(scope, node)
        if isinstance(node.block.inputs, list):
            for use in node.inputs.repeated():
                scope.note(f'the input "{use.name}" is named twice', use.path)
        name = scope.node_name(node)
        if name in names:
            message = f'two nodes are named "{name}"; give one of them another "name"'
            scope.note(message, node.at("name" if node.has("name") else "model_name"))
        names.add(name)
        _taps(scope, spec, node)
        _carries(scope, spec, node)
        for output in outputs_of(node):
            if output.name in made:
                message = f'"{output.name}" is already an output of the node "{made[output.name]}"'
                scope.note(message, output.path)
            made.setdefault(output.name, node.block.node_name)


def _carries(scope: Scope, spec: View, node: View) -> None:
    """What is carried is an output of this processor, and an input of this node."""
    carry, inputs = node.carry, columns_in(node, "inputs")
    if not isinstance(carry, dict):
        return
    made = [outputs_of(one) for one in spec.neural_graph.all()]
    given = [output.name for outputs in made for output in outputs]
    for name, output in carry.items():
        known = [use.name for use in inputs]
        if inputs.complete and name not in known:
            message = f'the node "{node.block.node_name}" has no input "{name}"{near(name, known)}'
            scope.note(message, node.at("carry", name), at_key=True)
        if all(outputs.complete for outputs in made) and output not in given:
            message = f'no node of this processor gives "{output}"{near(output, given)}'
            scope.note(message, node.at("carry", name))


def _taps(scope: Scope, spec: View, node: View) -> None:
    """A tap is of the node's own model, which runs module by module."""
    taps = node.block.taps
    for name, written in taps.items():
        model = written.rpartition(":")[0]
        if model and node.model_name != model:
            message = (
                f'a tap is of the model that the node runs, "{node.model_name}"; found "{model}"'
            )
            scope.note(message, node.at("taps", name))
    for view in (node, spec) if taps else ():
        if view.block.compile:
            message = f"{COMPILED_TAPS}; " + (
                "this node has some" if view is node else f'"{node.block.node_name}" has some'
            )
            scope.note(message, view.at("compile"), at_key=True)


COMPILED_TAPS = '"compile" makes one piece of a model, and "taps" look into it'


def _optimizer(scope: Scope, node: View) -> None:
    """Each optimizer of a node is for the model that it runs."""
    named = node.optimizer_name
    for use in named.repeated() if isinstance(named, Items) else ():
        scope.note(f'the optimizer "{use.name}" is named twice', use.path)
    for path, name in node.block.optimizers:
        _is_for_its_model(scope, node, Use(name, node.at(*path)))


def _is_for_its_model(scope: Scope, node: View, optimizer: Use) -> None:
    found = scope.held_by(scope.groups["optimizers"][scope.resolver.meaning(optimizer)])
    run = Key("models", node.block.model_name)
    if not found or not scope.definitions.keys() >= {*found}:
        return
    if run in scope.definitions:
        if not any(_is_for(scope, one, run) for one in found):
            scope.note(
                f'the optimizer "{optimizer.name}" is for {in_words(found)}, '
                f'and this node runs "{run.name}"',
                optimizer.path,
            )
    elif len(found) == 1 and found[0].group == "models" and isinstance(node.model_name, Unknown):
        scope.resolver.take_for(node.use("model_name"), found[0].name)


def _is_for(scope: Scope, module: Key, model: Key) -> bool:
    """Whether what is for a module is for a model: this one, or the whole that it is a part of."""
    is_model = module.group == model.group
    return is_model and is_part(model.name, module.name, scope.models)


def check_graph(scope: Scope, name: str, spec: View) -> None:
    """Check the ports, nodes and edges of a graph."""
    if not scope.is_meant(spec):
        return
    for names in (spec.input_aliases, spec.nodes):
        for use in names.repeated():
            scope.note(f'"{use.name}" is listed twice', use.path)
    for port in spec.input_aliases:
        if port.name in spec.block.nodes:
            scope.note(f'"{port.name}" is the name of a port and of a processor', port.path)
    wires = _Wires(scope, name, spec)
    wires.cut |= _cycles(scope, spec)
    scope.wirings.setdefault(name, wires.run())


def _cycles(scope: Scope, spec: View) -> set[Path]:
    """Report nodes that feed one another; gives the edges that seem to be wrong."""
    cut: set[Path] = set()
    edges = spec.block.ingoing_edges
    order: dict[Any, int] = {}
    for index, use in enumerate(_uses(spec, "nodes")):
        meant = scope.resolver.meaning(use)
        order[use.name if isinstance(meant, Unknown) else meant] = index
    inner = {d: [s for s in edges[d] if s in order] for d in edges if d in order}
    for cycle in cycles(inner):
        one, other = suspect_step(cycle, order)
        here = spec.at("ingoing_edges", one, edges[one].index(other))
        text = cycle_text([f'"{name}"' for name in cycle])
        scope.note(f"these nodes form a cycle: {text}", here)
        cut.add(here)
    return cut


def _uses(spec: View, key: str) -> list[Use]:
    """The names in a list of a graph, as they are written."""
    return Items(getattr(spec.block, key), spec.at(key), spec.resolver).uses()


class _Wires:
    """The edges of a graph: what is wrong with them, and what they mean."""

    def __init__(self, scope: Scope, name: str, spec: View) -> None:
        self.scope = scope
        self.resolver = scope.resolver
        self.cut: set[Path] = set()
        """Edges that are reported, and that nothing is led by."""
        self.spec = spec
        self.edges: dict[str, list[str]] = spec.block.ingoing_edges
        self.misnamed_ports(scope.fed_ports.get(name, set()))
        self.undefined_nodes()
        self.ports = self.names("input_aliases")
        self.nodes = self.names("nodes")

    def destination(self, name: str) -> Use:
        """The key of the edges that lead to a node."""
        return Use(name, self.spec.at("ingoing_edges", name), at_key=True)

    def sources_of(self, dest: str) -> Any:
        """What feeds a node."""
        return seen(self.edges[dest], self.destination(dest).path, self.resolver)

    def misnamed_ports(self, fed: set[str]) -> None:
        """Report ports that edges and pipelines know by one other name."""
        there = {*self.spec.block.input_aliases, *self.spec.block.nodes}
        used = {source for sources in self.edges.values() for source in sources}
        for port in self.spec.input_aliases:
            if port.name not in used | fed:
                meant = self.resolver.nearest(port.name, (used & fed) - there)
                if meant is not None:
                    message = (
                        f'no edge or pipeline refers to the port "{port.name}"{hint(meant, ())}'
                    )
                    self.scope.diagnostics.broke(message, port.path)
                    self.resolver.take_for(port, meant)

    def undefined_nodes(self) -> None:
        """Take the only node that nothing defines for the only other processor that edges know."""
        defined, nodes = self.scope.names("batch_processors").names, self.spec.block.nodes
        strays = [use for use in _uses(self.spec, "nodes") if use.name not in defined]
        others = [name for name in self.edges if name not in nodes and name in defined]
        if len(strays) == len(others) == 1 and self.strays(strays):
            self.resolver.take_for(strays[0], others[0])

    def names(self, key: str) -> Names:
        """The names in a list; those that are not defined may stand for others."""
        there: dict[str, None] = {}
        unsure: dict[str, None] = {}
        aliases = {}
        for use in _uses(self.spec, key):
            meant = self.resolver.meaning(use)
            there |= {use.name: None} if use.name != PLACEHOLDER else {}
            if use.name in there and isinstance(meant, Unknown):
                unsure[use.name] = None
            elif meant != use.name:
                aliases[meant] = use.name
        unreadable = getattr(self.spec, key).unreadable - len(unsure)
        return Names(there, max(0, unreadable), unsure, aliases)

    def run(self) -> Wiring:
        """Report everything that is wrong."""
        self.destinations()
        self.sources()
        self.unfed_nodes()
        self.unfed_ports()
        fed_by: dict[str, list[Any]] = {name: self.meant.get(name, []) for name in self.nodes.names}
        if len(fed_by) == 1 and not self.are_edges_known:
            fed_by = {node: [*self.ports.names] for node in fed_by}
        runs = {use.name: self.resolver.meaning(use) for use in _uses(self.spec, "nodes")}
        return Wiring(self.spec, self.ports, self.nodes, fed_by, runs)

    def destinations(self) -> None:
        """Report edges to nowhere."""
        uses = [self.destination(dest) for dest in self.edges]
        self.resolver.resolve(
            self.nodes, uses, lambda name, hint: f'"{name}" is not a node of this graph{hint}'
        )
        fed = [self.resolver.meaning(use) for use in uses]
        unfed = [name for name in self.nodes.names if name not in fed]
        if len(self.strays(uses)) == len(unfed) == 1:
            self.resolver.take_for(self.strays(uses)[0], unfed[0])

    def strays(self, uses: Iterable[Use]) -> list[Use]:
        """The names of which nobody can say what they mean."""
        return [use for use in uses if isinstance(self.resolver.meaning(use), Unknown)]

    def sources(self) -> None:
        """Report edges from nowhere, and two from one place."""
        # A node does not feed itself.
        nodes = self.nodes if len(self.nodes.names) > 1 else self.nodes._replace(unsure=())
        known = self.ports | nodes
        uses = []
        for dest in self.edges:
            uses += self.sources_of(dest)
            for use in self.sources_of(dest).repeated():
                self.scope.note(f'"{use.name}" feeds "{dest}" twice', use.path)
        self.resolver.resolve(
            known,
            uses,
            lambda name, hint: f'"{name}" is neither a port nor a node of this graph{hint}',
            only_one=False,
        )
        strays = self.strays(uses)
        if len(strays) == 1 and known.complete and not known.unsure:
            self.stray_source(strays[0], [use.name for use in uses])

    def stray_source(self, stray: Use, used: Sequence[str]) -> None:
        """Take the only edge from nowhere for the only one that may be missing, or for none."""
        dest = str(stray.path[-2])
        taken = {*used, *self.nodes.names}
        free = [port for port in self.ports.names if port not in taken]
        if not free and len(self.edges[dest]) == 1:
            feeds = {node: self.edges.get(node, []) for node in self.nodes.names}
            behind = [node for node in feeds if dest in reachable(node, feeds)]
            free = [node for node in self.nodes.names if node not in (*used, dest, *behind)]
        if len(free) == 1:
            self.resolver.take_for(stray, free[0])
        elif not free and stray.name not in self.scope.groups["batch_processors"]:
            self.cut.add(stray.path)

    @cached_property
    def meant(self) -> dict[Any, list[Any]]:
        """The edges as they are meant."""
        meaning = self.resolver.meaning
        return {
            meaning(self.destination(dest)): [
                meaning(use) for use in self.sources_of(dest).uses() if use.path not in self.cut
            ]
            for dest in self.edges
        }

    @property
    def are_edges_known(self) -> bool:
        """Whether no edge may come from somewhere that cannot be read."""
        return not _unknown_in([self.spec.ingoing_edges, *map(self.sources_of, self.edges)])

    def unfed_nodes(self) -> None:
        """Report nodes that nothing feeds, where no edge to nowhere may be meant to."""
        if not isinstance(self.spec.ingoing_edges, Unknown):
            strays = self.strays(map(self.destination, self.edges))
            unfed = [use for use in _uses(self.spec, "nodes") if use.name not in self.meant]
            for use in unfed[: max(0, len(unfed) - len(strays))]:
                self.scope.note(f'no edge leads to "{use.name}"', use.path)

    def unfed_ports(self) -> None:
        """Report ports that feed nothing, where no edge from nowhere may be meant to do it."""
        if self.are_edges_known:
            fed = [source for sources in self.meant.values() for source in sources]
            there = {*fed, *self.nodes.names}
            unfed = [use for use in _uses(self.spec, "input_aliases") if use.name not in there]
            for use in unfed[: max(0, len(unfed) - _unknown_in(fed))]:
                self.scope.note(f'the port "{use.name}" feeds nothing', use.path)


def _unknown_in(values: Iterable[Any]) -> int:
    return sum(isinstance(value, Unknown) for value in values)
