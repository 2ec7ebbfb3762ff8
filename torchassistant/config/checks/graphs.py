"""One neural graph, and one batch graph, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torchassistant.config.checks.cycles import odd_one, shown
from torchassistant.config.checks.name_mistakes import Known, Use, hint
from torchassistant.config.checks.scope import Scope, Wiring, twice
from torchassistant.config.references import Key, module_named
from torchassistant.config.spec import BatchGraphSpec, BatchProcessorSpec, NodeSpec
from torchassistant.config.toposort import cycles, reachable
from torchassistant.config.tree import Path
from torchassistant.config.validate import PLACEHOLDER


def check_processor(scope: Scope, spec: BatchProcessorSpec, path: Path) -> None:
    """Check the nodes of a processor: their names, their outputs, their optimizers."""
    made: dict[str, str] = {}
    names: set[str] = set()
    for here, node in scope.sound(spec.neural_graph or [], (*path, "neural_graph")):
        _node(scope, node, here)
        given = "name" if scope.diagnostics.is_written((*here, "name")) else "model_name"
        name = scope.node_name(node, here) or node.node_name
        if name in names and not scope.is_broken(here, "name"):
            message = f'two nodes are named "{name}"; give one of them another "name"'
            scope.note(message, (*here, given))
        names.add(name)
        for place, output in scope.sound(node.outputs, (*here, "outputs")):
            if output in made:
                message = f'"{output}" is already an output of the node "{made[output]}"'
                scope.note(message, place)
            made.setdefault(output, name)


def _node(scope: Scope, node: NodeSpec, path: Path) -> None:
    here = (*path, "optimizer_name")
    optimizer = scope.group("optimizers").get(scope.read(node.optimizer_name or "", here) or "")
    found = None if optimizer is None else module_named(optimizer.model)
    run = Key("models", node.model_name)
    if found is None or found not in scope.defined:
        pass  # told as undefined
    elif run not in scope.defined:
        at = (*path, "model_name")
        if found.group == "models" and scope.read(node.model_name, at) is None:
            scope.naming.take_for(Use(node.model_name, at), found.name)
    elif found != run:
        what = "model" if found.group == "models" else "loss"
        scope.note(
            f'the optimizer "{node.optimizer_name}" is for the {what} "{found.name}", '
            f'and this node runs "{node.model_name}"',
            here,
        )
    for place, name in twice(node.inputs, (*path, "inputs")):
        scope.note(f'the input "{name}" is named twice', place)


def check_graph(scope: Scope, name: str, spec: BatchGraphSpec, path: Path) -> None:
    """Check the ports, nodes and edges of a graph."""
    if not scope.is_reliable(path):
        return
    for key, names in (("input_aliases", spec.input_aliases), ("nodes", spec.nodes)):
        for place, found in twice(names, (*path, key)):
            scope.note(f'"{found}" stands here twice', place)
    nodes = set(spec.nodes)
    for place, port in scope.sound(spec.input_aliases, (*path, "input_aliases")):
        if port in nodes:
            scope.note(f'"{port}" is the name of a port and of a processor', place)
    wires = _Wires(scope, name, spec, path)
    wires.cut |= _cycles(scope, spec, path)
    scope.wirings.setdefault(name, wires.run())


def _cycles(scope: Scope, spec: BatchGraphSpec, path: Path) -> set[Path]:
    """Tell of nodes that feed one another; gives the edges that seem to be wrong."""
    cut: set[Path] = set()
    order = {
        scope.read(name, (*path, "nodes", index)) or name: index
        for index, name in enumerate(spec.nodes)
    }
    edges = {d: [s for s in sources if s in order] for d, sources in spec.ingoing_edges.items()}
    for cycle in cycles({d: sources for d, sources in edges.items() if d in order}):
        one, other = odd_one(cycle, order)
        here = (*path, "ingoing_edges", one, spec.ingoing_edges[one].index(other))
        text = shown([f'"{name}"' for name in cycle])
        scope.note(f"these nodes feed one another: {text}", here)
        cut.add(here)
    return cut


class _Wires:
    """The edges of a graph: what is wrong with them, and what they mean."""

    def __init__(self, scope: Scope, name: str, spec: BatchGraphSpec, path: Path) -> None:
        self.scope = scope
        self.cut: set[Path] = set()
        """Edges that are told, and that nothing is led by."""
        self.spec = spec
        self.path = path
        self.edges: Path = (*path, "ingoing_edges")
        self.misnamed_ports(scope.fed_ports.get(name, set()))
        self.undefined_nodes()
        self.ports = self.known("input_aliases", spec.input_aliases)
        self.nodes = self.known("nodes", spec.nodes)

    def misnamed_ports(self, fed: set[str]) -> None:
        """Tell of ports that edges and pipelines know by one other name."""
        there = {*self.spec.input_aliases, *self.spec.nodes}
        used = {source for sources in self.spec.ingoing_edges.values() for source in sources}
        for place, port in self.scope.sound(self.spec.input_aliases, (*self.path, "input_aliases")):
            if port not in used and port not in fed:
                meant = self.scope.naming.nearest(port, (used & fed) - there)
                if meant is not None:
                    message = f'edges and pipelines know no port "{port}"{hint(meant, ())}'
                    self.scope.diagnostics.broke(message, place)
                    self.scope.naming.take_for(Use(port, place), meant)

    def undefined_nodes(self) -> None:
        """Take the only node that nothing defines for the only other processor that edges know."""
        defined, nodes = self.scope.known("batch_processors").names, self.spec.nodes
        places = [(*self.path, "nodes", index) for index in range(len(nodes))]
        strays = [at for at, name in zip(places, nodes, strict=True) if name not in defined]
        others = [name for name in self.spec.ingoing_edges if name not in nodes and name in defined]
        if len(strays) == len(others) == 1 and self.scope.read("", strays[0]) is None:
            self.scope.naming.take_for(Use("", strays[0]), others[0])

    def known(self, key: str, names: list[str]) -> Known:
        """The names in a list; those that are not defined may stand for others."""
        path = (*self.path, key)
        there = dict.fromkeys(name for name in names if name != PLACEHOLDER)
        unsure: dict[str, None] = {}
        aliases = {}
        for index, name in enumerate(names):
            meant = self.scope.read(name, (*path, index))
            if name in there and meant is None:
                unsure[name] = None
            elif meant is not None and meant != name:
                aliases[meant] = name
        lost = self.scope.lost(names, path) - len(unsure) - len(aliases)
        return Known(there, max(0, lost), unsure, aliases)

    def run(self) -> Wiring:
        """Tell of everything that is wrong."""
        self.destinations()
        self.sources()
        self.unfed_nodes()
        self.unfed_ports()
        fed_by: dict[str, list[str | None] | None] = dict.fromkeys(self.nodes.names)
        for dest, sources in self.meant.items():
            if dest in fed_by:
                fed_by[dest] = sources
        if len(fed_by) == 1 and self.are_edges_lost:
            fed_by = {node: [*self.ports.names] for node in fed_by}
        path: Path = (*self.path, "nodes")
        runs = {n: self.scope.read(n, (*path, i)) for i, n in enumerate(self.spec.nodes)}
        return Wiring(self.path, self.ports, self.nodes, fed_by, runs)

    def destinations(self) -> None:
        """Tell of edges to nowhere."""
        uses = [Use(dest, (*self.edges, dest), True) for dest in self.spec.ingoing_edges]
        self.scope.naming.settle(
            self.nodes, uses, lambda name, hint: f'"{name}" is no node of this graph{hint}'
        )
        read = self.scope.read
        fed = {read(use.name, use.path, True) for use in uses}
        strays = [use for use in uses if read(use.name, use.path, True) is None]
        unfed = [name for name in self.nodes.names if name not in fed]
        if len(strays) == len(unfed) == 1:
            self.scope.naming.take_for(strays[0], unfed[0])

    def sources(self) -> None:
        """Tell of edges from nowhere, and of two from one place."""
        ports, nodes = self.ports, self.nodes
        if len(nodes.names) == 1:
            nodes = nodes._replace(doubtful=())  # a node does not feed itself
        known = Known(
            {**dict.fromkeys(ports.names), **dict.fromkeys(nodes.names)},
            ports.lost + nodes.lost,
            {**dict.fromkeys(ports.doubtful), **dict.fromkeys(nodes.doubtful)},
            {**ports.aliases, **nodes.aliases},
        )
        uses = []
        for dest, sources in self.spec.ingoing_edges.items():
            here = (*self.edges, dest)
            uses += [Use(source, place) for place, source in self.scope.sound(sources, here)]
            for place, source in twice(sources, here):
                self.scope.note(f'"{source}" feeds "{dest}" twice', place)
        self.scope.naming.settle(
            known,
            uses,
            lambda name, hint: f'"{name}" is neither a port nor a node of this graph{hint}',
            only_one=False,
        )
        strays = [use for use in uses if self.scope.read(use.name, use.path) is None]
        if len(strays) == 1 and not known.lost and not known.doubtful:
            self.stray_source(strays[0], [use.name for use in uses])

    def stray_source(self, stray: Use, used: Sequence[str]) -> None:
        """Take the only edge from nowhere for the only one that may be missing, or for none."""
        dest = str(stray.path[-2])
        free = [port for port in self.ports.names if port not in used]
        if not free and len(self.spec.ingoing_edges[dest]) == 1:
            feeds = {node: self.spec.ingoing_edges.get(node, []) for node in self.nodes.names}
            behind = [node for node in feeds if dest in reachable(node, feeds)]
            free = [node for node in self.nodes.names if node not in (*used, dest, *behind)]
        if len(free) == 1:
            self.scope.naming.take_for(stray, free[0])
        elif not free and stray.name not in self.scope.group("batch_processors"):
            self.cut.add(stray.path)

    @cached_property
    def meant(self) -> dict[str | None, list[str | None]]:
        """The edges as they are meant; None for who knows which node or port."""
        read, edges = self.scope.read, self.spec.ingoing_edges.items()
        return {
            read(dest, (*self.edges, dest), True): [
                read(source, place)
                for index, source in enumerate(sources)
                if (place := (*self.edges, dest, index)) not in self.cut
            ]
            for dest, sources in edges
        }

    @property
    def are_edges_lost(self) -> bool:
        """Whether there may be edges from somewhere that cannot be read."""
        is_broken = self.scope.is_broken
        return is_broken(self.edges) or any(
            is_broken(self.edges, dest) for dest in self.spec.ingoing_edges
        )

    def unfed_nodes(self) -> None:
        """Tell of nodes that nothing feeds, where no edge to nowhere may be meant to."""
        if self.scope.is_broken(self.edges):
            return
        strays = sum(
            self.scope.read(dest, (*self.edges, dest), True) is None
            for dest in self.spec.ingoing_edges
        )
        unfed = [i for i, name in enumerate(self.spec.nodes) if name not in self.meant]
        for index in unfed[: max(0, len(unfed) - strays)]:
            place = (*self.path, "nodes", index)
            self.scope.note(f'no edge leads to "{self.spec.nodes[index]}"', place)

    def unfed_ports(self) -> None:
        """Tell of ports that feed nothing, where no edge from nowhere may be meant to do it."""
        if self.are_edges_lost:
            return
        fed = [source for sources in self.meant.values() for source in sources]
        strays = fed.count(None)
        there = {*fed, *self.nodes.names}
        unfed = [i for i, name in enumerate(self.spec.input_aliases) if name not in there]
        for index in unfed[: max(0, len(unfed) - strays)]:
            place = (*self.path, "input_aliases", index)
            self.scope.note(f'the port "{self.spec.input_aliases[index]}" feeds nothing', place)
