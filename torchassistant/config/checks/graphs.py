"""One neural graph, and one batch graph, each by itself."""

from __future__ import annotations

from torchassistant.config.checks.circles import circles_in
from torchassistant.config.checks.scope import Scope
from torchassistant.config.spec import BatchGraphSpec, BatchProcessorSpec, NodeSpec
from torchassistant.config.tree import Path
from torchassistant.errors import near, nearest


def check_processor(scope: Scope, spec: BatchProcessorSpec, path: Path) -> None:
    """Check the nodes of a processor: their names, their outputs, their optimizers."""
    made: dict[str, str] = {}
    names: set[str] = set()
    for index, node in enumerate(spec.neural_graph or []):
        here: Path = (*path, "neural_graph", index)
        if node.node_name in names:
            message = f'two nodes are named "{node.node_name}"; give one of them another "name"'
            scope.note(message, here)
        names.add(node.node_name)
        _node(scope, node, here)
        for position, output in enumerate(node.outputs):
            if output in made:
                message = f'"{output}" is already an output of the node "{made[output]}"'
                scope.note(message, (*here, "outputs", position))
            made.setdefault(output, node.node_name)


def _node(scope: Scope, node: NodeSpec, path: Path) -> None:
    optimizer = scope.spec.group("optimizers").get(node.optimizer_name or "")
    known = scope.spec.group("models")
    if optimizer is None or not {optimizer.model, node.model_name} <= known.keys():
        pass  # told as undefined
    elif optimizer.model != node.model_name:
        scope.note(
            f'the optimizer "{node.optimizer_name}" is for the model "{optimizer.model}", '
            f'and this node runs "{node.model_name}"',
            (*path, "optimizer_name"),
        )
    for position, name in enumerate(node.inputs):
        if node.inputs.index(name) < position:
            scope.note(f'the input "{name}" is named twice', (*path, "inputs", position))


def check_graph(scope: Scope, spec: BatchGraphSpec, path: Path) -> None:
    """Check the ports, nodes and edges of a graph."""
    ports, nodes = set(spec.input_aliases), set(spec.nodes)
    for kind, names in (("input_aliases", spec.input_aliases), ("nodes", spec.nodes)):
        for position, name in enumerate(names):
            if names.index(name) < position:
                scope.note(f'"{name}" stands here twice', (*path, kind, position))
    for name in sorted(ports & nodes):
        scope.note(f'"{name}" is the name of a port and of a processor', path)
    _edges(scope, spec, path)
    _ends(scope, spec, path)
    for circle in circles_in({d: set(s) & nodes for d, s in spec.ingoing_edges.items()}):
        text = " → ".join(f'"{name}"' for name in circle)
        scope.note(f"these nodes feed one another: {text}", (*path, "ingoing_edges"))


def _edges(scope: Scope, spec: BatchGraphSpec, path: Path) -> None:
    ports, nodes = set(spec.input_aliases), set(spec.nodes)
    for dest, sources in spec.ingoing_edges.items():
        here: Path = (*path, "ingoing_edges", dest)
        if dest not in nodes:
            message = f'"{dest}" is no node of this graph{near(dest, nodes)}'
            scope.note(message, here, at_key=True)
        for position, source in enumerate(sources):
            if source not in ports | nodes:
                known = near(source, ports | nodes)
                message = f'"{source}" is neither a port nor a node of this graph{known}'
                scope.note(message, (*here, position))
            elif sources.index(source) < position:
                scope.note(f'"{source}" feeds "{dest}" twice', (*here, position))


def _ends(scope: Scope, spec: BatchGraphSpec, path: Path) -> None:
    """Nodes that nothing feeds and ports that feed nothing, where no misspelt edge may do it."""
    edges = spec.ingoing_edges
    ports, nodes = set(spec.input_aliases), set(spec.nodes)
    if not scope.findings.is_whole((*path, "ingoing_edges"), (*path, "nodes")):
        return
    strays = set(edges) - nodes
    for position, name in enumerate(spec.nodes):
        if name not in edges and not nearest(name, strays):
            scope.note(f'no edge leads to "{name}"', (*path, "nodes", position))
    fed = {source for sources in edges.values() for source in sources}
    if not scope.findings.is_whole((*path, "input_aliases")):
        return
    for position, name in enumerate(spec.input_aliases):
        if name not in fed and not nearest(name, fed - ports - nodes):
            scope.note(f'the port "{name}" feeds nothing', (*path, "input_aliases", position))
