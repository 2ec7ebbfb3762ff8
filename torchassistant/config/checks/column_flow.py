"""Which columns reach which node, loss and metric, as far as the config alone can say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torchassistant.config.checks.adapter_columns import Adapters, Columns, Need
from torchassistant.config.checks.pipelines import scores
from torchassistant.config.checks.resolver import Use, hint
from torchassistant.config.checks.scope import Scope, Wiring
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View, columns_in, outputs_of
from torchassistant.config.search_paths import our_class
from torchassistant.config.spec import PipelineSpec
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
    for name, pipeline in scope.pipelines(used):
        if budget.left <= 0:
            break
        if has_steps(pipeline.block):
            continue  # which columns a step of the user's own reads, and returns, it knows alone
        walk = Walk(scope, name, pipeline, budget)
        walk.run()
        for need in walk.needs:
            want = wants.setdefault((need.path, need.column), Want(need))
            if need.frame.lacks(need.column):
                want.lacking[walk.path] = walk
                want.found |= need.frame.names
            else:
                want.fine = True
    _report(scope, [want for want in wants.values() if want.lacking])


def _report(scope: Scope, wants: list[Want]) -> None:
    """Report each missing column where the misspelt name most likely stands.

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
            meant = scope.resolver.nearest(column, want.found)
            scope.note(f"{want.need.message} {where}{hint(meant, want.found)}", want.need.path)


def has_steps(pipeline: Any) -> bool:
    """Whether the graph of a pipeline need not be run as it stands."""
    steps = (getattr(pipeline, key, None) for key in ("train_step", "eval_step"))
    return any(step is not None for step in steps)


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

    def __init__(self, scope: Scope, name: str, pipeline: View, budget: Budget) -> None:
        self.scope = scope
        self.name = name
        self.pipeline = pipeline
        self.path = pipeline.path
        self.budget = budget
        self.frames: dict[str, Columns] = {}
        self.needs: list[Need] = []
        self.mixed: dict[str, dict[Any, Columns]] = {}
        self.named_at: dict[tuple[str, str], Path] = {}

    def run(self) -> None:
        """Find what is needed where, and which columns there are."""
        wiring = self.scope.wiring(self.pipeline)
        if isinstance(wiring, Unknown):
            return
        self.ports(wiring)
        for name in topological_order(wiring.fed_by):
            frame = self.joined(wiring, name)
            self.frames[name] = self.budget.spend(self.processed(wiring.runs[name], frame))
        if isinstance(self.pipeline.block, PipelineSpec):
            self.scores(wiring)
        else:
            self.kept(wiring)
        for name, frames in self.mixed.items():
            self.report_mixed(name, wiring, frames)

    def ports(self, wiring: Wiring) -> None:
        """The frames that the loaders give."""
        for item in self.pipeline.input_factories:
            port, names = self.scope.port(item, wiring), item.variable_names or Unknown()
            columns = frozenset(item.block.columns or item.block.renames.values())
            if item.block.columns is None:
                names = Unknown()
            if not isinstance(port, Unknown) and port not in self.frames:
                self.frames[port] = self.budget.spend(
                    Columns(columns - self.scope.unread, names.complete)
                )
                self.named_at |= {(port, use.name): use.path for use in names}

    def misnamed(self, column: str) -> tuple[Path, str] | None:
        """The name of a loader's column that may be meant by another, and where it stands."""
        name = self.scope.resolver.nearest(column, self.idle)
        return None if name is None else (self.idle[name], name)

    @cached_property
    def idle(self) -> dict[str, Path]:
        """The loaders' columns that nothing needs, and where their names stand; after the walk."""
        needed = {need.column for need in self.needs}
        return {name: at for (_, name), at in self.named_at.items() if name not in needed}

    def joined(self, wiring: Wiring, name: str) -> Columns:
        """The frame that several edges lead into a processor."""
        sources = list(wiring.fed_by[name])
        frames = [self.frames.get(source, _UNKNOWN) for source in sources]
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

    def report_mixed(self, name: str, wiring: Wiring, frames: dict[Any, Columns]) -> None:
        """Report frames that share some columns: where one of these seems to be misspelt."""
        shared = frozenset.intersection(*(frame.names for frame in frames.values()))
        there = {column for frame in frames.values() for column in frame.names}
        needed = {need.column for need in self.needs}
        for source, frame in frames.items():
            for column in sorted(frame.names - shared - needed):
                meant = self.scope.resolver.nearest(column, there - frame.names)
                if meant is not None and (source, column) in self.named_at:
                    message = f'the column "{column}" is joined to others{hint(meant, ())}'
                    self.scope.note(message, self.named_at[source, column])
                    return
        edges = wiring.graph.at("ingoing_edges")
        if not self.scope.diagnostics.is_written((*edges, name)):
            name = wiring.runs[name]
        self.scope.note(
            f'in the pipeline "{self.name}" the frames that lead into "{name}" have some columns '
            f"in common ({listing(sorted(shared))}), and others not; they must be all the same, to "
            "be concatenated, or all different, to be united",
            (*edges, name),
        )

    def processed(self, name: str, frame: Columns) -> Columns:
        """The frame that comes out of a processor."""
        spec = self.scope.groups["batch_processors"][name].spec
        if spec.neural_graph is None:
            is_kept = our_class(spec.block.class_ or "", "batch_processors") == "DetachBatch"
            return frame if is_kept else _UNKNOWN
        if isinstance(spec.neural_graph, Unknown):
            return _UNKNOWN
        adapters = Adapters(self.scope, spec)
        made = self.nodes(spec, adapters, frame)
        whole = Columns(frame.names | made.names, frame.complete and made.complete)
        self.needs += adapters.asked_of(frame, whole)
        return adapters.given_on(whole)

    def nodes(self, spec: View, adapters: Adapters, frame: Columns) -> Columns:
        """The outputs of a processor's nodes."""
        made: set[str] = set()
        complete = True
        for node in spec.neural_graph.all():
            own = None if isinstance(node, Unknown) else adapters.given_to(node, frame)
            if own is not None:
                own = Columns(own.names, own.complete and complete)
                self.inputs(node, own, made, adapters.where)
            outputs = outputs_of(node)
            made.update(output.name for output in outputs)
            complete = complete and outputs.complete
        return Columns(frozenset(made), complete)

    def inputs(self, node: View, frame: Columns, made: set[str], where: str) -> None:
        """Each input of a node has one source."""
        name = node.block.node_name
        for use in columns_in(node, "inputs"):
            if use.name in node.block.carry:
                self.carried(node, use, frame.names | made)
            elif use.name not in made:
                message = (
                    f'neither {where} nor an earlier node gives the input "{use.name}" of the node '
                    f'"{name}"'
                )
                self.needs.append(Need(use.name, message, use.path, frame))
            elif use.name in frame.names:
                self.scope.note(
                    f'the input "{use.name}" of the node "{name}" has two sources: {where}, and '
                    "the output of an earlier node",
                    use.path,
                )

    def carried(self, node: View, use: Use, others: Collection[str]) -> None:
        """What is carried has no other source."""
        if use.name in others:
            self.scope.note(
                f'the input "{use.name}" of the node "{node.block.node_name}" is carried from the '
                "batch before, and is there already",
                use.path,
            )

    def scores(self, wiring: Wiring) -> None:
        """The columns that losses and metrics are computed from."""
        for score in scores(self.pipeline) if self.scope.scored else ():
            written = score.view.use(score.name_key).name
            group, name = score.group, score.name
            if isinstance(name, Unknown):
                # A loss among the metrics is reported, and needs columns all the same.
                name = written
                group = next((g for g in _SCORES if name in self.scope.groups[g]), group)
            node = self.scope.node(score.view, wiring)
            what = f'{"loss" if score.group == "losses" else "metric"} "{written}"'
            spec = self.scope.groups[group][name].spec
            uses = list(columns_in(spec, "inputs"))
            if group == "losses" and isinstance(spec.count, str):
                uses.append(spec.use("count"))
            for use in uses if node in self.frames else ():
                message = f'the {what} needs the column "{use.name}", which its frame lacks'
                self.needs.append(Need(use.name, message, use.path, self.frames[node]))

    def kept(self, wiring: Wiring) -> None:
        """The columns that a debug pipeline keeps, of the frames of all processors."""
        frames = [self.frames.get(name, _UNKNOWN) for name in wiring.runs]
        names = frozenset(name for frame in frames for name in frame.names)
        whole = Columns(names, all(frame.complete for frame in frames) and wiring.nodes.complete)
        for use in self.pipeline.output_keys:
            message = f'no processor gives the column "{use.name}", which is to be kept'
            self.needs.append(Need(use.name, message, use.path, whole))
