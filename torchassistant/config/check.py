"""What the shape of a config cannot say: every name is defined, every graph can run."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from torchassistant.config.names import folded, why_unsafe
from torchassistant.config.references import (
    DATASET_OR_SLICE,
    Key,
    as_slice,
    references,
    target,
)
from torchassistant.config.spec import (
    BatchGraphSpec,
    BatchProcessorSpec,
    DebugPipelineSpec,
    InputFactorySpec,
    NodeSpec,
    PipelineLossSpec,
    PipelineMetricSpec,
    PipelineSpec,
    Spec,
    StageSpec,
)
from torchassistant.config.tree import Path, place_of
from torchassistant.config.validate import in_file_order
from torchassistant.errors import Problem, listing, near

_WHAT = {
    "batch_processors": "batch processor",
    "batch_graphs": "batch graph",
    "loader_factories": "loader factory",
    "losses": "loss",
    DATASET_OR_SLICE: "dataset or slice",
}


class _Kind(NamedTuple):
    """The keys under which a pipeline speaks of its losses or of its metrics."""

    group: str
    name_key: str
    display_key: str


_LOSS = _Kind("losses", "loss_name", "loss_display_name")
_METRIC = _Kind("metrics", "metric_name", "display_name")


def _scores(
    pipeline: PipelineSpec,
) -> Iterator[tuple[_Kind, int, PipelineLossSpec | PipelineMetricSpec]]:
    """The losses and the metrics of a pipeline, each with its index in its list."""
    for index, loss in enumerate(pipeline.losses):
        yield _LOSS, index, loss
    for index, metric in enumerate(pipeline.metrics):
        yield _METRIC, index, metric


def check(
    spec: Spec, tree: Any, file: str = "", used: Collection[str] | None = None
) -> list[Problem]:
    """Every problem of a completed spec, in file order.

    Args:
        spec: The spec, completed.
        tree: What it was validated from, for the places.
        file: The file to name where no position is known.
        used: The pipelines that are to be run, where it is not to be trained: others, and the
            stages, are left alone then.
    """
    checker = _Checker(spec, tree, file)
    checker.definitions()
    checker.pipelines(used)
    if used is None:
        checker.stages()
    return in_file_order(checker.problems)


class _Checker:
    def __init__(self, spec: Spec, tree: Any, file: str) -> None:
        self.spec = spec
        self.tree = tree
        self.file = file
        self.problems: list[Problem] = []
        self.defined: dict[Key, Any] = {}
        self.written_at: dict[Key, Path] = {}
        for index, definition in enumerate(spec.initialize.definitions):
            key = Key(definition.group, definition.name)
            self.defined.setdefault(key, definition)
            self.written_at.setdefault(key, ("initialize", "definitions", index))

    def note(self, message: str, path: Path, at_key: bool = False) -> None:
        self.problems.append(Problem(message, place_of(self.tree, path, self.file, at_key)))

    def names_of(self, group: str) -> list[str]:
        if group == DATASET_OR_SLICE:
            return [*self.names_of("datasets"), *self.slices()]
        return [key.name for key in self.defined if key.group == group]

    def slices(self) -> Iterator[str]:
        words = ("train", "val", "test")
        for name, split in self.spec.group("splits").items():
            for index in range(len(split.ratio)):
                yield f"{name}.{words[index]}" if index < 3 else f"{name}[{index}]"

    def unknown(self, group: str, name: str, path: Path) -> None:
        what = _WHAT.get(group, group.removesuffix("s").replace("_", " "))
        self.note(f'no {what} is named "{name}"{near(name, self.names_of(group))}', path)

    # Definitions

    def definitions(self) -> None:
        seen: dict[tuple[str, str], str] = {}
        for index, definition in enumerate(self.spec.initialize.definitions):
            path: Path = ("initialize", "definitions", index)
            self.own_name(definition, path, seen)
            for reference in references(definition):
                self.reference(reference.group, reference.name, (*path, *reference.path))
            if definition.group == "batch_processors":
                self.processor(definition.spec, (*path, "spec"))
            if definition.group == "batch_graphs":
                self.graph(definition.spec, (*path, "spec"))
        self.circles()
        self.one_device_a_model()

    def own_name(self, definition: Any, path: Path, seen: dict[tuple[str, str], str]) -> None:
        group, name = definition.group, definition.name
        reason = why_unsafe(name)
        if reason:
            self.note(
                f'"{name}" cannot be a name, as files are named by it: {reason}', (*path, "name")
            )
        if group in ("datasets", "splits") and set(name) & set(".[]"):
            self.note(f'"{name}" cannot be a name: dots and brackets name slices', (*path, "name"))
        before = seen.setdefault((group, folded(name)), name)
        if before == name and self.written_at[Key(group, name)] != path:
            first = place_of(self.tree, self.written_at[Key(group, name)], self.file)
            where = f" (first in line {first.line})" if first.line else ""
            self.note(f'"{name}" is defined twice in the group "{group}"{where}', (*path, "name"))
        elif before != name:
            message = f'"{name}" and "{before}" would be one file on some systems'
            self.note(message, (*path, "name"))

    def reference(self, group: str, name: str, path: Path) -> None:
        from_split = as_slice(name) if group == DATASET_OR_SLICE else None
        splits = self.spec.group("splits")
        if from_split and from_split.split in splits and name not in self.names_of("datasets"):
            count = len(splits[from_split.split].ratio)
            if from_split.position >= count:
                known = [s for s in self.slices() if s.startswith(from_split.split)]
                message = f'the split "{from_split.split}" has {count} slices: {listing(known)}'
                self.note(f"{message}; found {name!r}", path)
        elif group == DATASET_OR_SLICE:
            key = Key("datasets", name)
            if key not in self.defined:
                self.unknown(group, name, path)
        elif Key(group, name) not in self.defined:
            self.unknown(group, name, path)

    def circles(self) -> None:
        graph = {
            key: {t for r in references(d) if (t := target(r, self.defined)) and t != key}
            | ({key} if any(target(r, self.defined) == key for r in references(d)) else set())
            for key, d in self.defined.items()
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle: list[Key] = error.args[1]
            text = " → ".join(f'{key.group} "{key.name}"' for key in reversed(circle))
            self.note(f"these definitions need one another: {text}", self.written_at[circle[0]])

    def one_device_a_model(self) -> None:
        found: dict[str, tuple[str, str]] = {}
        for key, definition in self.defined.items():
            if key.group != "batch_processors":
                continue
            device = definition.spec.device or self.spec.device
            for index, node in enumerate(definition.spec.neural_graph or []):
                other, processor = found.setdefault(node.model_name, (device, key.name))
                if other != device:
                    path = (*self.written_at[key], "spec", "neural_graph", index, "model_name")
                    self.note(
                        f'the model "{node.model_name}" would be on two devices: {device} here, '
                        f'{other} in "{processor}"',
                        path,
                    )

    # Graphs

    def processor(self, spec: BatchProcessorSpec, path: Path) -> None:
        nodes = spec.neural_graph or []
        made: dict[str, str] = {}
        names: set[str] = set()
        later = Counter(output for node in nodes for output in node.outputs)
        for index, node in enumerate(nodes):
            here: Path = (*path, "neural_graph", index)
            if node.node_name in names:
                message = f'two nodes are named "{node.node_name}"; give one of them another "name"'
                self.note(message, here)
            names.add(node.node_name)
            self.node(node, here, made, later)
            for position, output in enumerate(node.outputs):
                if output in made:
                    message = f'"{output}" is already an output of the node "{made[output]}"'
                    self.note(message, (*here, "outputs", position))
                made.setdefault(output, node.node_name)

    def node(self, node: NodeSpec, path: Path, made: dict[str, str], later: Counter[str]) -> None:
        optimizer = self.spec.group("optimizers").get(node.optimizer_name or "")
        known = self.spec.group("models")
        if optimizer and optimizer.model in known and optimizer.model != node.model_name:
            self.note(
                f'the optimizer "{node.optimizer_name}" is for the model "{optimizer.model}", '
                f'and this node runs "{node.model_name}"',
                (*path, "optimizer_name"),
            )
        for position, name in enumerate(node.inputs):
            if node.inputs.index(name) < position:
                self.note(f'the input "{name}" is named twice', (*path, "inputs", position))

    def graph(self, spec: BatchGraphSpec, path: Path) -> None:
        ports, nodes = set(spec.input_aliases), set(spec.nodes)
        for kind, names in (("input_aliases", spec.input_aliases), ("nodes", spec.nodes)):
            for position, name in enumerate(names):
                if names.index(name) < position:
                    self.note(f'"{name}" stands here twice', (*path, kind, position))
        for name in sorted(ports & nodes):
            self.note(f'"{name}" is the name of a port and of a processor', path)
        fed: set[str] = set()
        for dest, sources in spec.ingoing_edges.items():
            here: Path = (*path, "ingoing_edges", dest)
            if dest not in nodes:
                self.note(
                    f'"{dest}" is no node of this graph{near(dest, nodes)}', here, at_key=True
                )
            for position, source in enumerate(sources):
                fed.add(source)
                if source not in ports | nodes:
                    known = near(source, ports | nodes)
                    message = f'"{source}" is neither a port nor a node of this graph{known}'
                    self.note(message, (*here, position))
                elif sources.index(source) < position:
                    self.note(f'"{source}" feeds "{dest}" twice', (*here, position))
        for position, name in enumerate(spec.nodes):
            if name not in spec.ingoing_edges:
                self.note(f'no edge leads to "{name}"', (*path, "nodes", position))
        for position, name in enumerate(spec.input_aliases):
            if name not in fed:
                self.note(f'the port "{name}" feeds nothing', (*path, "input_aliases", position))
        try:
            TopologicalSorter(spec.ingoing_edges).prepare()
        except CycleError as error:
            circle = " → ".join(f'"{name}"' for name in reversed(error.args[1]))
            self.note(f"these nodes feed one another: {circle}", (*path, "ingoing_edges"))

    # Pipelines

    def pipelines(self, used: Collection[str] | None) -> None:
        initialize = self.spec.initialize
        for name, pipeline in initialize.pipelines.items():
            if used is None or name in used:
                self.pipeline(pipeline, ("initialize", "pipelines", name))
        for name, debug in initialize.debug_pipelines.items():
            if used is None:
                self.pipeline(debug, ("initialize", "debug_pipelines", name))

    def pipeline(self, pipeline: PipelineSpec | DebugPipelineSpec, path: Path) -> None:
        graphs = self.spec.group("batch_graphs")
        for index, item in enumerate(pipeline.input_factories):
            here: Path = (*path, "input_factories", index)
            self.reference("loader_factories", item.loader_factory, (*here, "loader_factory"))
            for position, column in enumerate(item.variable_names or []):
                if (item.variable_names or []).index(column) < position:
                    message = f'the column "{column}" is named twice'
                    self.note(message, (*here, "variable_names", position))
        if pipeline.graph is None:
            self.note(self.which_graph(), path)
        elif pipeline.graph not in graphs:
            self.unknown("batch_graphs", pipeline.graph, (*path, "graph"))
        else:
            self.ports(pipeline.input_factories, graphs[pipeline.graph], path)
        if isinstance(pipeline, PipelineSpec):
            graph = graphs.get(pipeline.graph or "")
            self.scores(pipeline, graph, path)

    def which_graph(self) -> str:
        graphs = self.names_of("batch_graphs")
        if graphs:
            return f'"graph" is needed, as there are several: {listing(graphs)}'
        processors = self.names_of("batch_processors")
        if processors:
            return (
                f"a batch graph is needed, as there are several processors: {listing(processors)}"
            )
        models = self.names_of("models")
        found = listing(models) if models else "none"
        return f"a batch processor can be filled in for one model; the models are {found}"

    def ports(self, items: list[InputFactorySpec], graph: BatchGraphSpec, path: Path) -> None:
        fed: set[str] = set()
        for index, item in enumerate(items):
            here: Path = (*path, "input_factories", index)
            if item.input_alias is None:
                message = f'"input_alias" is needed; the ports are {listing(graph.input_aliases)}'
                self.note(message, here)
            elif item.input_alias not in graph.input_aliases:
                known = near(item.input_alias, graph.input_aliases)
                message = f'the graph has no port "{item.input_alias}"{known}'
                self.note(message, (*here, "input_alias"))
            elif item.input_alias in fed:
                self.note(f'the port "{item.input_alias}" is fed twice', (*here, "input_alias"))
            fed.add(item.input_alias or "")
        used = {source for sources in graph.ingoing_edges.values() for source in sources}
        if fed <= set(graph.input_aliases):
            for port in graph.input_aliases:
                if port not in fed and port in used:
                    message = f'nothing feeds the port "{port}" of the graph'
                    self.note(message, (*path, "input_factories"))

    def scores(self, pipeline: PipelineSpec, graph: BatchGraphSpec | None, path: Path) -> None:
        shown: set[str] = set()
        for kind, index, score in _scores(pipeline):
            here: Path = (*path, kind.group, index)
            self.reference(kind.group, getattr(score, kind.name_key), (*here, kind.name_key))
            display = kind.display_key
            if score.shown_as in shown:
                self.note(f'"{score.shown_as}" is shown twice by this pipeline', (*here, display))
            shown.add(score.shown_as)
            if any(unicodedata.category(character) == "Cc" for character in score.shown_as):
                self.note("a display name holds no control characters", (*here, display))
            if score.shown_as in ("epoch", "step", "seconds", "stage"):
                message = f'"{score.shown_as}" is a column of the history already'
                self.note(message, (*here, display))
            if graph is None:
                continue
            if score.node_name is None:
                message = f'"node_name" is needed; the graph has {listing(graph.nodes)}'
                self.note(message, here)
            elif score.node_name not in graph.nodes:
                message = (
                    f'the graph has no node "{score.node_name}"{near(score.node_name, graph.nodes)}'
                )
                self.note(message, (*here, "node_name"))

    # Stages

    def stages(self) -> None:
        for index, stage in enumerate(self.spec.train.stages):
            path: Path = ("train", "stages", index)
            for kind, names in (
                ("training_pipelines", stage.training_pipelines),
                ("validation_pipelines", stage.validation_pipelines),
            ):
                self.pipeline_names(names, (*path, kind))
            for name in stage.training_pipelines:
                self.trains_something(name, (*path, "training_pipelines"))
            self.shown_once(stage.validation_pipelines, (*path, "validation_pipelines"))
            self.debug(stage, path)
            if isinstance(stage.eval_steps, dict):
                self.pipeline_keys(stage.eval_steps, stage, (*path, "eval_steps"))

    def pipeline_names(self, names: list[str], path: Path) -> None:
        known = self.spec.initialize.pipelines
        for position, name in enumerate(names):
            if name not in known:
                self.note(f'no pipeline is named "{name}"{near(name, known)}', (*path, position))
            elif names.index(name) < position:
                self.note(f'"{name}" stands here twice', (*path, position))

    def pipeline_keys(self, table: dict[str, Any], stage: StageSpec, path: Path) -> None:
        for name in table:
            if name not in stage.validation_pipelines:
                known = near(name, stage.validation_pipelines)
                message = f'"{name}" is no validation pipeline of this stage{known}'
                self.note(message, (*path, name), at_key=True)

    def trains_something(self, name: str, path: Path) -> None:
        pipeline = self.spec.initialize.pipelines.get(name)
        if pipeline is None:
            return
        graph = self.spec.group("batch_graphs").get(pipeline.graph or "")
        processors = self.spec.group("batch_processors")
        nodes = [
            node
            for processor in (graph.nodes if graph else [])
            if processor in processors
            for node in processors[processor].neural_graph or []
        ]
        if not pipeline.losses:
            self.note(f'the pipeline "{name}" has no loss, so it cannot be trained', path)
        elif nodes and not any(node.optimizer_name for node in nodes):
            message = f'no node of the pipeline "{name}" has an optimizer, so it trains nothing'
            self.note(message, path)

    def shown_once(self, names: Iterable[str], path: Path) -> None:
        owner: dict[str, str] = {}
        for position, name in enumerate(names):
            pipeline = self.spec.initialize.pipelines.get(name)
            for _, _, score in _scores(pipeline) if pipeline else ():
                other = owner.setdefault(score.shown_as, name)
                if other != name:
                    message = f'"{score.shown_as}" is shown by "{other}" and by "{name}"'
                    self.note(f"{message}; give one another display name", (*path, position))

    def debug(self, stage: StageSpec, path: Path) -> None:
        known = self.spec.initialize.debug_pipelines
        for position, item in enumerate(stage.debug_pipelines):
            here: Path = (*path, "debug_pipelines", position)
            if isinstance(item, str):
                if item not in known:
                    self.note(f'no debug pipeline is named "{item}"{near(item, known)}', here)
            else:
                self.pipeline(item, here)
