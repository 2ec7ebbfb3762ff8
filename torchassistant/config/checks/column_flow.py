"""Which columns reach which node, loss and metric, as far as the config alone can say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from torchassistant.config.checks.adapters import Adapters, Columns, Need
from torchassistant.config.checks.name_mistakes import hint
from torchassistant.config.checks.pipelines import scores
from torchassistant.config.checks.scope import AnyPipeline, Scope, Wiring
from torchassistant.config.search_paths import our_class
from torchassistant.config.spec import (
    BatchProcessorSpec,
    DebugPipelineSpec,
    NodeSpec,
    PipelineSpec,
)
from torchassistant.config.toposort import topological_order
from torchassistant.config.tree import Path
from torchassistant.errors import listing

_SCORES = ("losses", "metrics")
_UNKNOWN = Columns(frozenset(), False)
_MOST_COLUMNS = 2_000_000
"""Beyond so many columns in all frames together, no more of them are looked at."""


@dataclass
class Want:
    """A column that something needs and does not get, in one pipeline or in several.

    Args:
        need: Where it is needed, and what for.
        found: What there is instead.
        lacking: The pipelines in which it is not there.
        fine: Whether it may be there in some other.
    """

    need: Need
    found: frozenset[str] = frozenset()
    lacking: dict[Path, Walk] = field(default_factory=dict)
    fine: bool = False


def check_columns(scope: Scope, used: Collection[str] | None) -> None:
    """Follow the columns of each pipeline from its loaders to its losses."""
    budget = Budget(_MOST_COLUMNS)
    wants: dict[tuple[Path, str], Want] = {}
    for path, name, pipeline in scope.pipelines(used):
        if budget.left <= 0:
            break
        walk = Walk(scope, name, pipeline, path, budget)
        walk.run()
        for need in walk.needs:
            want = wants.setdefault((need.path, need.column), Want(need))
            if need.frame.lacks(need.column):
                want.lacking[walk.path] = walk
                want.found |= need.frame.names
            else:
                want.fine = True
    _tell(scope, [want for want in wants.values() if want.lacking])


def _tell(scope: Scope, wants: list[Want]) -> None:
    """Tell of each missing column where the misspelt name most likely stands.

    That is where the column is asked for; but in the names of the loader's columns, where several
    things ask for it there, or one that gets it in another pipeline.
    """
    askers = Counter((path, want.need.column) for want in wants for path in want.lacking)
    for want in wants:
        column = want.need.column
        lacking = []
        for walk in want.lacking.values():
            source = walk.misnamed(column) if want.fine or askers[walk.path, column] > 1 else None
            if source:
                message = f'no column is named "{column}"; did you mean it by "{source[1]}"?'
                scope.note(message, source[0])
            else:
                lacking.append(walk.name)
        if lacking:
            where = f"in the pipeline{'s' if len(lacking) > 1 else ''} {listing(lacking)}"
            meant = scope.naming.nearest(column, want.found)
            scope.note(f"{want.need.message} {where}{hint(meant, want.found)}", want.need.path)


class Budget:
    """How many columns may still be looked at."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, frame: Columns) -> Columns:
        """The same frame; an unknown one, where it is too much."""
        self.left -= len(frame.names) + 10
        return frame if self.left > 0 else _UNKNOWN


class Walk:
    """The columns of one pipeline, from its ports to what is computed from them."""

    def __init__(
        self, scope: Scope, name: str, pipeline: AnyPipeline, path: Path, budget: Budget
    ) -> None:
        self.scope = scope
        self.name = name
        self.pipeline = pipeline
        self.path = path
        self.budget = budget
        self.frames: dict[str, Columns] = {}
        self.needs: list[Need] = []
        self.mixed: dict[str, dict[str | None, Columns]] = {}
        self.named_at: dict[tuple[str | None, str], Path] = {}

    def run(self) -> None:
        """Find what is needed where, and which columns there are."""
        wiring = self.scope.wiring(self.pipeline, self.path)
        if wiring is None:
            return
        self.ports(wiring)
        feeders = {node: [s for s in fed or () if s] for node, fed in wiring.fed_by.items()}
        for name in topological_order(feeders):
            frame = self.joined(wiring, name)
            self.frames[name] = self.budget.spend(self.processed(wiring.runs[name], frame))
        if isinstance(self.pipeline, PipelineSpec):
            self.scores(self.pipeline, wiring)
        else:
            self.kept(self.pipeline, wiring)
        for name, frames in self.mixed.items():
            self.tell_mixed(name, wiring, frames)

    def ports(self, wiring: Wiring) -> None:
        """The frames that the loaders give."""
        here = (*self.path, "input_factories")
        for path, item in self.scope.sound(self.pipeline.input_factories, here):
            port = self.scope.port(item, path, wiring)
            names = (*path, "variable_names")
            columns = frozenset(item.variable_names or ())
            complete = bool(columns) and not self.scope.lost(item.variable_names or [], names)
            if port is not None and port not in self.frames:
                self.frames[port] = self.budget.spend(Columns(columns, complete))
                for place, name in self.scope.sound(item.variable_names or [], names):
                    self.named_at[port, name] = place

    def misnamed(self, column: str) -> tuple[Path, str] | None:
        """The name of a loader's column that may be meant by another, and where it stands."""
        name = self.scope.naming.nearest(column, self.idle)
        return None if name is None else (self.idle[name], name)

    @cached_property
    def idle(self) -> dict[str, Path]:
        """The loaders' columns that nothing needs, and where their names stand; after the walk."""
        needed = {need.column for need in self.needs}
        return {name: at for (_, name), at in self.named_at.items() if name not in needed}

    def joined(self, wiring: Wiring, name: str) -> Columns:
        """The frame that several edges lead into a processor."""
        sources = wiring.fed_by[name] or ()
        frames = [self.frames.get(source or "", _UNKNOWN) for source in sources]
        if not frames or not all(frame.complete for frame in frames):
            return frames[0] if len(frames) == 1 else _UNKNOWN
        if all(frame == frames[0] for frame in frames):
            return frames[0]
        names: set[str] = set()
        for frame in frames:
            if names & frame.names:
                self.mixed[name] = dict(zip(sources, frames, strict=True))
                return _UNKNOWN
            names |= frame.names
        return Columns(frozenset(names), True)

    def tell_mixed(self, name: str, wiring: Wiring, frames: dict[str | None, Columns]) -> None:
        """Tell of frames that share some columns: where one of these seems to be misspelt."""
        shared = frozenset.intersection(*(frame.names for frame in frames.values()))
        there = {column for frame in frames.values() for column in frame.names}
        needed = {need.column for need in self.needs}
        for source, frame in frames.items():
            for column in sorted(frame.names - shared - needed):
                meant = self.scope.naming.nearest(column, there - frame.names)
                if meant is not None and (source, column) in self.named_at:
                    message = f'the column "{column}" is joined to others{hint(meant, ())}'
                    self.scope.note(message, self.named_at[source, column])
                    return
        edges: Path = (*wiring.path, "ingoing_edges")
        if not self.scope.diagnostics.is_written((*edges, name)):
            name = wiring.runs.get(name) or name
        self.scope.note(
            f'in the pipeline "{self.name}" the frames that lead into "{name}" have some columns '
            f"in common ({listing(sorted(shared))}), and others not; they must be all the same, to "
            "be concatenated, or all different, to be united",
            (*edges, name),
        )

    def processed(self, name: str | None, frame: Columns) -> Columns:
        """The frame that comes out of a processor."""
        spec = self.scope.group("batch_processors").get(name or "")
        if spec is None or name is None:
            return _UNKNOWN
        if spec.neural_graph is None:
            is_kept = our_class(spec.class_ or "", "batch_processors") == "DetachBatch"
            return frame if is_kept else _UNKNOWN
        path = (*self.scope.at("batch_processors", name), "spec")
        if self.scope.is_broken(path, "neural_graph"):
            return _UNKNOWN
        adapters = Adapters(self.scope, spec, path)
        made = self.nodes(spec, path, adapters, frame)
        whole = Columns(frame.names | made.names, frame.complete and made.complete)
        self.needs += adapters.asked_of(frame, whole)
        return adapters.given_on(whole)

    def nodes(
        self, spec: BatchProcessorSpec, path: Path, adapters: Adapters, frame: Columns
    ) -> Columns:
        """The outputs of a processor's nodes."""
        made: set[str] = set()
        complete = True
        for index, node in enumerate(spec.neural_graph or []):
            here: Path = (*path, "neural_graph", index)
            own = adapters.given_to(node, here, frame)
            if self.scope.is_broken(here):
                complete = False
                continue
            if own is not None:
                own = Columns(own.names, own.complete and complete)
                self.inputs(node, own, made, here, adapters.where)
            made.update(output for _, output in self.scope.sound(node.outputs, (*here, "outputs")))
            complete = complete and not self.scope.lost(node.outputs, (*here, "outputs"))
        return Columns(frozenset(made), complete)

    def inputs(
        self, node: NodeSpec, frame: Columns, made: set[str], path: Path, where: str
    ) -> None:
        """Each input of a node has one source."""
        for here, name in self.scope.sound(node.inputs, (*path, "inputs")):
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
            self.needs.append(Need(name, message, here, frame))

    def scores(self, pipeline: PipelineSpec, wiring: Wiring) -> None:
        """The columns that losses and metrics are computed from."""
        for kind, index, score in scores(pipeline) if self.scope.scored else ():
            at = (*self.path, kind.group, index)
            written = getattr(score, kind.name_key)
            group, name = kind.group, self.scope.read(written, (*at, kind.name_key))
            if name is None:  # a loss among the metrics is told, and needs columns all the same
                name = written
                group = next((g for g in _SCORES if name in self.scope.group(g)), group)
            node = self.scope.node(score, at, wiring)
            spec = self.scope.group(group).get(name)
            if spec is None or node not in self.frames:
                continue
            what = f'{"loss" if kind.group == "losses" else "metric"} "{written}"'
            inputs = (*self.scope.at(group, name), "spec", "inputs")
            for path, column in self.scope.sound(spec.inputs, inputs):
                message = f'the {what} needs the column "{column}", which its frame lacks'
                self.needs.append(Need(column, message, path, self.frames[node or ""]))

    def kept(self, pipeline: DebugPipelineSpec, wiring: Wiring) -> None:
        """The columns that a debug pipeline keeps, of the frames of all processors."""
        frames = [self.frames.get(name, _UNKNOWN) for name in wiring.runs]
        names = frozenset(name for frame in frames for name in frame.names)
        whole = Columns(names, all(frame.complete for frame in frames) and not wiring.nodes.lost)
        for path, key in self.scope.sound(pipeline.output_keys, (*self.path, "output_keys")):
            message = f'no processor gives the column "{key}", which is to be kept'
            self.needs.append(Need(key, message, path, whole))
