"""The boxes of one pipeline, and which columns go between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchassistant.config import (
    LOSSES,
    DebugPipelineSpec,
    InputFactorySpec,
    Key,
    NodeSpec,
    ObjectSpec,
    PipelineSpec,
    Spec,
    is_average,
    our_class,
    owner_of,
    topological_order,
)
from torchassistant.diagram.freezing import Freezing
from torchassistant.diagram.parts import Box, Column, Link, State
from torchassistant.diagram.shapes import Shapes

AnyPipeline = PipelineSpec | DebugPipelineSpec


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a column comes from: a box, and its shape there."""

    box: str
    shape: str = ""


@dataclass(slots=True)
class Frame:
    """What is known of a frame.

    Args:
        columns: Where each of its columns comes from; from several boxes, where it is concatenated.
        others: The boxes from which any other column may come.
    """

    columns: dict[str, list[Origin]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def origins(self, column: str) -> list[Origin]:
        """Where a column comes from."""
        return self.columns.get(column) or [Origin(box) for box in self.others]

    def sources(self) -> dict[str, list[Column]]:
        """The boxes that all of it comes from, each with its columns."""
        found: dict[str, list[Column]] = {box: [] for box in self.others}
        for name, origins in self.columns.items():
            for origin in origins:
                found.setdefault(origin.box, []).append(Column(name, origin.shape))
        return found


def united(frames: Iterable[Frame]) -> Frame:
    """The frame that several edges lead to."""
    whole = Frame()
    for frame in frames:
        for name, origins in frame.columns.items():
            whole.columns.setdefault(name, []).extend(origins)
        whole.others += [box for box in frame.others if box not in whole.others]
    return whole


class PipelineGraph:
    """Boxes and links of one pipeline, as it runs: from what feeds it to what trains its models.

    Args:
        spec: The completed config.
        name: The name of the pipeline.
        pipeline: The pipeline.
        is_trained: Whether a stage in view trains it.
        freezing: What the stages in view freeze.
        shapes: Of columns.
        prefix: What the ids of its boxes begin with.

    Attributes:
        boxes: By id.
        ports: The ids of what feeds it.
        scores: The ids of losses and metrics, by their names and the processors that they read.
    """

    def __init__(
        self,
        spec: Spec,
        name: str,
        pipeline: AnyPipeline,
        is_trained: bool,
        freezing: Freezing,
        shapes: Shapes,
        prefix: str,
    ) -> None:
        self.spec = spec
        self.name = name
        self.pipeline = pipeline
        self.is_trained = is_trained
        self.freezing = freezing
        self.shapes = shapes
        self.prefix = prefix
        self.models = spec.group("models")
        self.boxes: dict[str, Box] = {}
        self.ports: list[str] = []
        self.scores: dict[tuple[str, str | None], str] = {}
        self.frames: dict[str, Frame] = {}
        self.optimizers: dict[str, None] = {}
        self._links: dict[tuple[str, str, bool], list[Column]] = {}
        self._notes: dict[tuple[str, str, bool], str] = {}

    def run(self) -> None:
        """Find all boxes and links."""
        for item in self.pipeline.input_factories:
            self._port(item)
        graph = self.spec.group("batch_graphs")[self.pipeline.graph or ""]
        order = topological_order({name: self._feeders(graph, name) for name in graph.nodes})
        for name in order:
            frame = united(self.frames[source] for source in self._feeders(graph, name))
            self.frames[name] = self._processed(name, frame)
        if isinstance(self.pipeline, DebugPipelineSpec):
            self._output(self.pipeline, order)
            return
        if self.is_trained and self.pipeline.train_step is not None:
            trained = [self._step(self.pipeline.train_step, order)]
        else:
            trained = self._losses(self.pipeline)
        self._metrics(self.pipeline)
        if self.is_trained:
            self._optimizers(self.pipeline, trained)

    @property
    def links(self) -> list[Link]:
        """What goes between the boxes."""
        return [
            Link(*key[:2], tuple(dict.fromkeys(columns)), key[2], self._notes.get(key, ""))
            for key, columns in self._links.items()
        ]

    def _feeders(self, graph: Any, name: str) -> list[str]:
        return [s for s in graph.ingoing_edges.get(name, ()) if s in (*self.frames, *graph.nodes)]

    def _add(self, box: Box) -> str:
        self.boxes[box.id] = box
        return box.id

    def _id(self, *words: str) -> str:
        """An id; a "/" in a name is written as JSON Pointer does, so that no two are the same."""
        return "/".join(
            [self.prefix, *(word.replace("~", "~0").replace("/", "~1") for word in words)]
        )

    def _link(
        self, source: str, target: str, columns: Iterable[Column] = (), is_carried: bool = False
    ) -> None:
        self._links.setdefault((source, target, is_carried), []).extend(columns)

    def _read(self, frame: Frame, names: Iterable[str], target: str) -> None:
        """Links for the columns that a box reads of a frame."""
        for name in names:
            for origin in frame.origins(name):
                self._link(origin.box, target, [Column(name, origin.shape)])

    def _read_all(self, frame: Frame, target: str) -> None:
        for source, columns in frame.sources().items():
            self._link(source, target, columns)

    # What feeds it

    def _port(self, item: InputFactorySpec) -> None:
        port = item.input_alias or ""
        box, shapes = self._id("port", port), self.shapes
        self.ports.append(self._add(Box(box, "data", *self._described(item, port))))
        renamed = {new: old for old, new in item.renames.items()}
        names = [name for name in (*(item.columns or ()), *renamed) if name != "_"]
        columns = {name: [Origin(box, shapes.of_port(port, name))] for name in dict.fromkeys(names)}
        self.frames[port] = Frame(columns, [] if item.columns is not None else [box])

    def _described(self, item: InputFactorySpec, port: str) -> tuple[str, tuple[str, ...]]:
        """What a box of data says."""
        lines = [] if len(self.pipeline.input_factories) == 1 else [f"port {port}"]
        if item.from_pipeline is not None:
            part = "batches" if item.node is None else f"outputs of {item.node}"
            return item.from_pipeline, (f"{part} of this pipeline", *lines)
        name = item.loader_factory or ""
        loader = self.spec.group("loader_factories").get(name)
        if loader is not None:
            size = loader.kwargs.get("batch_size")
            lines.insert(0, loader.dataset if size is None else f"{loader.dataset}, {size} a batch")
        return name, tuple(lines)

    # What runs

    def _processed(self, name: str, frame: Frame) -> Frame:
        """The frame that comes out of a processor."""
        processor = self.spec.group("batch_processors")[name]
        if processor.is_object:
            box = self._add(
                Box(
                    self._id("processor", name), "object", name, (_short(processor.path),), state=""
                )
            )
            self._read_all(frame, box)
            return Frame({column: [Origin(box)] for column in frame.columns}, [box])
        given = self._adapted_input(name, processor, frame)
        made: dict[str, list[Origin]] = {}
        for node in processor.neural_graph:
            self._node(name, node, given.get(node.node_name, given[""]), made)
        whole = Frame({**frame.columns, **made}, frame.others)
        return self._adapted_output(name, processor, whole)

    def _adapted_input(self, name: str, processor: Any, frame: Frame) -> dict[str, Frame]:
        """Where each node finds its inputs; under an empty name, where all others find theirs."""
        adapter = processor.input_adapter
        if adapter is None:
            return {"": frame}
        nodes = _argument(adapter, "input_adapter", "SelectInputs", "nodes")
        if isinstance(nodes, Mapping):
            return {
                "": Frame(),
                **{
                    node: Frame({name: frame.origins(column) for name, column in inputs.items()})
                    for node, inputs in nodes.items()
                    if isinstance(inputs, Mapping)
                },
            }
        box = self._add(
            Box(self._id("input adapter", name), "adapter", _short(adapter.path), group=name)
        )
        self._read_all(frame, box)
        return {"": Frame(others=[box])}

    def _node(
        self, processor: str, node: NodeSpec, frame: Frame, made: dict[str, list[Origin]]
    ) -> None:
        box = self._add(self._box_of_node(processor, node))
        name, shapes = node.node_name, self.shapes
        for column in node.input_names:
            if column in node.carry:
                shape = shapes.of_input(processor, name, column)
                text = Column(f"{node.carry[column]} → {column}", shape)
                self._link(box, box, [text], is_carried=True)
                continue
            for origin in made.get(column) or frame.origins(column):
                shape = origin.shape or shapes.of_input(processor, name, column)
                self._link(origin.box, box, [Column(column, shape)])
        for column in node.output_names:
            shape = shapes.of_output(processor, name, column)
            made[column] = [Origin(box, shape)]

    def _box_of_node(self, processor: str, node: NodeSpec) -> Box:
        name = (self.pipeline.models or {}).get(node.model_name, node.model_name)
        optimizers = [optimizer for _, optimizer in node.optimizers]
        state, said = self._state(name, optimizers)
        if self.is_trained:
            self.optimizers |= dict.fromkeys(optimizers)
        model = self.models[name]
        kind = _short(model.path)
        lines = [f"{name}: {kind}" if kind and name != node.node_name else kind or ""]
        if model.part_of:
            lines.append(f"part of {model.part_of}: {model.path_}")
        if model.average_of:
            lines.append(f"{(model.kind or 'ema').upper()} of {model.average_of}")
        if node.taps:
            lines.append(f"tapped: {', '.join(dict.fromkeys(node.taps.values()))}")
        if self.is_trained and node.mode == "eval":
            lines.append("in eval mode")
        return Box(
            self._id("node", processor, node.node_name),
            "model",
            node.node_name,
            tuple(line for line in (*lines, *said) if line),
            processor,
            state,
            owner_of(name, self.models),
        )

    def _state(self, model: str, optimizers: Sequence[str]) -> tuple[State, list[str]]:
        """What becomes of a model here, and what is said of it."""
        if not self.is_trained:
            return ("average" if is_average(model, self.models) else ""), []
        if not optimizers:
            return ("average" if is_average(model, self.models) else "fixed"), ["not trained here"]
        whole, said = self.freezing.of(model, self.models)
        if whole:
            return "frozen", said
        return "trained", [f"trained by {', '.join(optimizers)}", *said]

    def _adapted_output(self, name: str, processor: Any, whole: Frame) -> Frame:
        adapter = processor.output_adapter
        if adapter is None or our_class(adapter.path, "output_adapter") == "IdentityAdapter":
            return whole
        kept = _argument(adapter, "output_adapter", "SelectVariables", "names")
        if isinstance(kept, list):
            return Frame({column: whole.origins(column) for column in kept})
        renamed = _argument(adapter, "output_adapter", "RenameVariables", "names")
        if isinstance(renamed, Mapping):
            origins = {renamed.get(old, old): found for old, found in whole.columns.items()}
            origins |= {new: whole.origins(old) for old, new in renamed.items()}
            return Frame(origins, whole.others)
        box = self._add(
            Box(self._id("output adapter", name), "adapter", _short(adapter.path), group=name)
        )
        nodes = [self._id("node", name, node.node_name) for node in processor.neural_graph]
        for source, columns in whole.sources().items():
            if source in nodes or not nodes:
                self._link(source, box, columns)
        return Frame(others=[box])

    # What is computed from it

    def _losses(self, pipeline: PipelineSpec) -> list[str]:
        found = []
        for item in pipeline.losses:
            loss = self.spec.group("losses")[item.loss_name]
            lines = [] if item.shown_as == item.loss_name else [item.loss_name]
            lines.append(_short(loss.path))
            if loss.models:
                lines.append(f"calls {', '.join(loss.models)}")
            optimizers = self._optimizers_of(item.loss_name, loss)
            if self.is_trained and optimizers:
                lines.append(f"trained by {', '.join(optimizers)}")
                self.optimizers |= dict.fromkeys(optimizers)
            owners = tuple(owner_of(name, self.models) for name in loss.models)
            box = self._id("loss", item.node_name or "", item.shown_as)
            lines = [line for line in dict.fromkeys(lines) if line != item.shown_as]
            self._add(Box(box, "loss", item.shown_as, tuple(lines), calls=owners))
            self._read_score(loss, item.loss_name, item.node_name, box)
            found.append(box)
        return found

    def _optimizers_of(self, name: str, loss: Any) -> list[str]:
        """What trains the parameters of a loss, or the models that it calls."""
        optimizers = self.spec.group("optimizers").items()
        found = [key for key, one in optimizers if one.trains(Key(LOSSES, name))]
        return [*found, *([loss.optimizer_name] if loss.optimizer_name else [])]

    def _metrics(self, pipeline: PipelineSpec) -> None:
        for item in pipeline.metrics:
            group = "metrics" if item.metric_name in self.spec.group("metrics") else "losses"
            metric = self.spec.group(group)[item.metric_name]
            lines = [name for name in (item.metric_name, _short(metric.path)) if name]
            lines = [line for line in dict.fromkeys(lines) if line != item.shown_as]
            box = self._id("metric", item.node_name or "", item.shown_as)
            self._add(Box(box, "metric", item.shown_as, tuple(lines)))
            self._read_score(metric, item.metric_name, item.node_name, box)

    def _read_score(self, score: Any, name: str, node: str | None, box: str) -> None:
        self.scores.setdefault((name, node), box)
        frame = self.frames.get(node or "", Frame())
        names = score.inputs.values() if isinstance(score.inputs, dict) else score.inputs
        self._read(frame, names, box)

    def _step(self, step: Any, order: Sequence[str]) -> str:
        """The box of a step of the user's own, which runs what it likes of the graph."""
        lines = ("its own step", *step.losses) if step.losses else ("its own step",)
        box = self._add(Box(self._id("step"), "step", _short(step.path), lines))
        read = {source for source, _ in self._read_already()}
        for name in order:
            for source, columns in self.frames[name].sources().items():
                if source not in read:
                    self._link(source, box, columns)
        return box

    def _read_already(self) -> set[tuple[str, str]]:
        return {(source, target) for source, target, _ in self._links if source != target}

    def _output(self, pipeline: DebugPipelineSpec, order: Sequence[str]) -> None:
        device, post = pipeline.output_device, pipeline.postprocessor
        title = "printed" if device is None else _short(device.path)
        lines = [] if post is None else [f"after {_short(post.path)}"]
        if pipeline.log:
            lines.append("kept with the history")
            title = "history" if device is None else title
        box = self._add(Box(self._id("output"), "output", title, tuple(lines)))
        frame = united(self.frames[name] for name in order)
        self._read(frame, pipeline.output_keys, box)

    # What trains it

    def _optimizers(self, pipeline: PipelineSpec, losses: Sequence[str]) -> None:
        if not (losses and self.optimizers):
            return
        source = losses[0]
        if len(losses) > 1:
            how = "Σ" if pipeline.combine is None else _short(pipeline.combine.path)
            source = self._add(Box(self._id("sum"), "sum", how))
            for loss, item in zip(losses, pipeline.losses, strict=True):
                self._link(loss, source)
                self._notes[loss, source, False] = _weight(item.weight)
        for name in self.optimizers:
            optimizer = self.spec.group("optimizers")[name]
            box = self._id("optimizer", name)
            self._add(Box(box, "optimizer", name, tuple(self._of_optimizer(name, optimizer))))
            self._link(source, box)
            if len(losses) == 1 and pipeline.losses:
                self._notes[source, box, False] = _weight(pipeline.losses[0].weight)

    def _of_optimizer(self, name: str, optimizer: Any) -> Iterable[str]:
        rate = optimizer.kwargs.get("lr")
        kind = _short(optimizer.path)
        is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
        yield f"{kind}, lr {rate:g}" if is_number else kind
        if optimizer.lr_scheduler is not None:
            yield _short(optimizer.lr_scheduler.path)
        models = [model for _, model in optimizer.models]
        for clipper in self.spec.group("gradient_clippers").values():
            if clipper.optimizer == name or {m for _, m in clipper.models} & set(models):
                limits = {"norm": clipper.clip_norm, "value": clipper.clip_value}
                limit = [f"{what} {size:g}" for what, size in limits.items() if size is not None]
                yield f"clips {', '.join(limit)}"
        yield f"steps {', '.join(models)}"


def _weight(weight: Any) -> str:
    """What is said of the factor of a loss; nothing of 1.

    >>> _weight(10.0)
    '× 10'
    """
    if isinstance(weight, ObjectSpec):
        return f"× {_short(weight.path)}"
    return "" if weight == 1 else f"× {weight:g}"


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _argument(adapter: ObjectSpec, role: str, short: str, name: str) -> Any:
    """The first argument of an adapter of ours of this name; None of any other."""
    if our_class(adapter.path, role) != short:
        return None
    return adapter.args[0] if adapter.args else adapter.kwargs.get(name)
