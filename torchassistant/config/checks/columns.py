"""Which columns reach which node, loss and metric, as far as the config alone can say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchassistant.config.checks.pipelines import scores
from torchassistant.config.checks.scope import PIPELINES, Scope
from torchassistant.config.spec import (
    BatchGraphSpec,
    BatchProcessorSpec,
    NodeSpec,
    ObjectSpec,
    PipelineSpec,
)
from torchassistant.config.tree import Path
from torchassistant.errors import listing, near, nearest


@dataclass(frozen=True)
class Columns:
    """What is known of the columns of a frame.

    Args:
        names: Columns that it has.
        complete: Whether it has no others.
    """

    names: frozenset[str]
    complete: bool

    def lacks(self, name: str) -> bool:
        """Whether it certainly has no such column."""
        return self.complete and name not in self.names


_UNKNOWN = Columns(frozenset(), False)

Needed = dict[str, set[str]]
"""For each pipeline, the columns that something in it asks for."""


@dataclass
class Wants:
    """Columns that something needs and does not get, in one pipeline or in several.

    Args:
        message: What needs the column.
        found: What there is instead.
        path: Where the name of the column stands.
        lacking: The pipelines in which it is not there.
        fine: The pipelines in which it may be there.
    """

    message: str
    path: Path
    found: frozenset[str] = frozenset()
    lacking: list[str] = field(default_factory=list)
    fine: list[str] = field(default_factory=list)


def check_columns(scope: Scope, used: Collection[str] | None) -> None:
    """Follow the columns of each pipeline from its loaders to its losses."""
    walks = [
        _Walk(scope, name, pipeline)
        for name, pipeline in scope.spec.initialize.pipelines.items()
        if (used is None or name in used) and _is_known(scope, name, pipeline)
    ]
    wants: dict[tuple[Path, str], Wants] = {}
    for walk in walks:
        walk.run()
        for column, message, path, frame in walk.needs:
            want = wants.setdefault((path, column), Wants(message, path))
            if frame.lacks(column):
                want.lacking.append(walk.name)
                want.found |= frame.names
            else:
                want.fine.append(walk.name)
    needed = {walk.name: {column for column, *_ in walk.needs} for walk in walks}
    _tell(scope, {key: want for key, want in wants.items() if want.lacking}, needed)


def _is_known(scope: Scope, name: str, pipeline: PipelineSpec) -> bool:
    whole = scope.findings.is_whole((*PIPELINES, name))
    graph = scope.graph(pipeline)
    return whole and graph is not None and scope.is_graph_whole(pipeline.graph)


def _tell(scope: Scope, wants: dict[tuple[Path, str], Wants], needed: Needed) -> None:
    """Tell of each missing column where the misspelt name most likely stands.

    That is where the column is asked for; but in the names of the loader's columns, where several
    things ask for it there, or one that gets it in another pipeline.
    """
    askers = Counter((p, column) for (_, column), want in wants.items() for p in want.lacking)
    for (_, column), want in wants.items():
        lacking = []
        for pipeline in want.lacking:
            source = _misnamed(scope, pipeline, column, needed[pipeline])
            if source and (want.fine or askers[pipeline, column] > 1):
                at, name = source
                message = f'no column is named "{column}"; did you mean it by "{name}"?'
                scope.note(message, at)
            else:
                lacking.append(pipeline)
        if lacking:
            where = f"in the pipeline{'s' if len(lacking) > 1 else ''} {listing(lacking)}"
            scope.note(f"{want.message} {where}{near(column, want.found)}", want.path)


def _misnamed(
    scope: Scope, pipeline: str, column: str, needed: set[str]
) -> tuple[Path, str] | None:
    """The column of a pipeline's loaders that may be meant by this name, and where it stands."""
    for index, item in enumerate(scope.spec.initialize.pipelines[pipeline].input_factories):
        names = item.variable_names or []
        name = nearest(column, set(names) - needed)
        if name is not None:
            path: Path = (*PIPELINES, pipeline, "input_factories", index)
            return (*path, "variable_names", names.index(name)), name
    return None


class _Walk:
    """The columns of one pipeline, from its ports to its losses."""

    def __init__(self, scope: Scope, name: str, pipeline: PipelineSpec) -> None:
        self.scope = scope
        self.name = name
        self.pipeline = pipeline
        self.frames: dict[str, Columns] = {}
        self.needs: list[tuple[str, str, Path, Columns]] = []

    def run(self) -> None:
        graph = self.scope.graph(self.pipeline)
        if graph is None:
            return
        for item in self.pipeline.input_factories:
            names = item.variable_names
            columns = Columns(frozenset(names), True) if names else _UNKNOWN
            self.frames[item.input_alias or ""] = columns
        for name in _in_order(graph):
            frame = self.joined(graph, name)
            processor = self.scope.spec.group("batch_processors")[name]
            path: Path = (*self.scope.at("batch_processors", name), "spec")
            self.frames[name] = self.processed(processor, frame, path)
        if self.scope.scored:
            self.scores()

    def joined(self, graph: BatchGraphSpec, name: str) -> Columns:
        """The frame that several edges lead into a processor."""
        sources = graph.ingoing_edges.get(name, [])
        frames = [self.frames.get(source, _UNKNOWN) for source in sources]
        if not frames or not all(frame.complete for frame in frames):
            return frames[0] if len(frames) == 1 else _UNKNOWN
        if all(frame == frames[0] for frame in frames):
            return frames[0]
        names: frozenset[str] = frozenset()
        for frame in frames:
            shared = names & frame.names
            if shared:
                at = self.scope.at("batch_graphs", self.pipeline.graph)
                self.scope.note(
                    f'in the pipeline "{self.name}" the frames that lead into "{name}" share the '
                    f"columns {listing(sorted(shared))}, but not all; they must be all the same, "
                    "to be concatenated, or all different, to be united",
                    (*at, "spec", "ingoing_edges", name),
                )
                return _UNKNOWN
            names |= frame.names
        return Columns(names, True)

    def processed(self, spec: BatchProcessorSpec, frame: Columns, path: Path) -> Columns:
        """The frame that comes out of a processor."""
        if spec.neural_graph is None:
            return _UNKNOWN
        given = _selected(spec.input_adapter)
        if given is not None:
            self.selects(given, frame, (*path, "input_adapter"))
        made: set[str] = set()
        for index, node in enumerate(spec.neural_graph):
            here: Path = (*path, "neural_graph", index)
            if spec.input_adapter is None:
                self.inputs(node, frame, made, here, "the frame")
            elif given is not None:
                own = Columns(frozenset(given.get(node.node_name, ())), True)
                self.inputs(node, own, made, here, "the input adapter")
            made.update(node.outputs)
        whole = Columns(frame.names | made, frame.complete)
        return self.adapted(spec.output_adapter, whole, (*path, "output_adapter"))

    def inputs(
        self, node: NodeSpec, frame: Columns, made: set[str], path: Path, where: str
    ) -> None:
        """Each input of a node has one source."""
        for position, name in enumerate(node.inputs):
            here = (*path, "inputs", position)
            if name in made:
                if name in frame.names:
                    self.scope.note(
                        f'the input "{name}" of the node "{node.node_name}" has two sources: '
                        f"{where}, and the output of an earlier node",
                        here,
                    )
                continue
            message = (
                f'neither {where} nor an earlier node gives the input "{name}" of the node '
                f'"{node.node_name}"'
            )
            self.needs.append((name, message, here, frame))

    def selects(self, given: dict[str, dict[str, str]], frame: Columns, path: Path) -> None:
        """The columns that ``SelectInputs`` names are there."""
        for node, inputs in given.items():
            for name, column in inputs.items():
                message = f'the column "{column}", for the input "{name}" of "{node}", is not there'
                self.needs.append((column, message, path, frame))

    def adapted(self, spec: ObjectSpec | None, frame: Columns, path: Path) -> Columns:
        """The frame that comes out of an output adapter."""
        short = _ours(spec, "torchassistant.output_adapters")
        if spec is None or short == "IdentityAdapter":
            return frame
        argument = _argument(spec, "names")
        if short == "SelectVariables" and isinstance(argument, list):
            for name in argument:
                message = f'the column "{name}", which the output adapter selects, is not there'
                self.needs.append((str(name), message, path, frame))
            return Columns(frozenset(map(str, argument)), True)
        if short == "RenameVariables" and isinstance(argument, dict):
            for name in argument:
                message = f'the column "{name}", which the output adapter renames, is not there'
                self.needs.append((name, message, path, frame))
            names = {str(argument.get(name, name)) for name in frame.names}
            return Columns(frozenset(names), frame.complete)
        return _UNKNOWN

    def scores(self) -> None:
        """The columns that losses and metrics are computed from."""
        for kind, _, score in scores(self.pipeline):
            name = getattr(score, kind.name_key)
            spec = self.scope.spec.group(kind.group).get(name)
            if spec is None or score.node_name not in self.frames:
                continue
            at = self.scope.at(kind.group, name)
            for position, column in enumerate(spec.inputs):
                what = f'{"loss" if kind.group == "losses" else "metric"} "{name}"'
                message = f'the {what} needs the column "{column}", which its frame lacks'
                path = (*at, "spec", "inputs", position)
                self.needs.append((column, message, path, self.frames[score.node_name]))


def _in_order(graph: BatchGraphSpec) -> Iterator[str]:
    """Processors after what feeds them; those in a circle, and behind one, are left out."""
    done: set[str] = set(graph.input_aliases)
    left = list(dict.fromkeys(graph.nodes))
    while ready := [n for n in left if set(graph.ingoing_edges.get(n, [])) <= done]:
        yield from ready
        done.update(ready)
        left = [name for name in left if name not in done]


def _ours(spec: ObjectSpec | None, module: str) -> str:
    """The short name of a class of a module of ours; empty for any other object."""
    home, _, short = (spec.class_ or "").rpartition(".") if spec else ("", "", "")
    return short if home in ("", module) else ""


def _argument(spec: ObjectSpec, name: str) -> Any:
    """The first argument of an object, by position or by name."""
    args: Sequence[Any] = spec.args
    return args[0] if args else spec.kwargs.get(name)


def _selected(spec: ObjectSpec | None) -> dict[str, dict[str, str]] | None:
    """What ``SelectInputs`` gives: node → input → column; None for any other adapter."""
    if spec is None or _ours(spec, "torchassistant.adapters") != "SelectInputs":
        return None
    nodes = _argument(spec, "nodes")
    if not isinstance(nodes, dict) or not all(
        isinstance(columns, dict) and all(isinstance(c, str) for c in columns.values())
        for columns in nodes.values()
    ):
        return None
    return nodes
