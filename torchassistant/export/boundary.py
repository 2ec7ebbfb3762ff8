"""Where a batch graph is cut for a file: what stands before the cut is not exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from torchassistant.adapters import SelectInputs
from torchassistant.data import random_state, seeded
from torchassistant.errors import DataError
from torchassistant.frames import Frame, Frames
from torchassistant.graph import BatchGraph, NeuralProcessor, Node, ObjectProcessor, Processor
from torchassistant.training import BatchRun, Precision, only_frames


def first_parts(graph: BatchGraph) -> dict[str, Callable[[Frame], Any]]:
    """What may stay outside: adapters and objects of processors that only ports feed, by those."""
    found: dict[str, Callable[[Frame], Any]] = {}
    for name, processor in graph.processors.items():
        if not set(graph.edges[name]) <= set(graph.ports):
            continue
        if isinstance(processor, ObjectProcessor):
            found[name] = processor.function
        elif isinstance(processor, NeuralProcessor) and processor.input_adapter is not None:
            found[name] = processor.input_adapter
    return found


class Watched:
    """An adapter, and what it raised.

    Args:
        function: The adapter.

    Attributes:
        error: What it raised last; None where it raised nothing.
        draws: Whether it has drawn random numbers.
    """

    def __init__(self, function: Callable[[Frame], Any]) -> None:
        self.function = function
        self.error: BaseException | None = None
        self.draws = False

    def __call__(self, frame: Frame) -> Any:
        """What it makes of a frame."""
        try:
            return self.function(frame)
        except Exception as error:
            self.error = error
            raise


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """A graph for a file.

    Args:
        graph: What is exported; the ports that stand for a cut are among its ports.
        before: What runs first, and stays outside; None where nothing does.
        ports: For each processor of ``before`` the port of ``graph`` that gets its frame.
        watched: The adapters that could still be cut off, by processor.
    """

    graph: BatchGraph
    before: BatchGraph | None
    ports: Mapping[str, str]
    watched: Mapping[str, Watched]

    def frames(self, frames: Frames) -> Frames:
        """The frames of the ports of the exported graph.

        Args:
            frames: Those of the ports of the session's graph.
        """
        known = {port: dict(frames[port]) for port in self.graph.ports if port in frames}
        counts = {port: frames.counts[port] for port in known}
        if self.before is not None:
            whole = Frames({name: dict(frame) for name, frame in frames.items()}, frames.counts)
            run = BatchRun.for_evaluation(self.before, Precision(), only_frames).run
            run(whole)
            for name, port in self.ports.items():
                known[port] = whole[name]
                counts[port] = self.before.count_of(whole, name)
        return Frames(known, counts)


def bounded(graph: BatchGraph, cut: Sequence[str], frames: Frames) -> Boundary:
    """The graph without the adapters, and objects, of some processors.

    Args:
        graph: That of the session.
        cut: The processors, which only ports feed.
        frames: A batch, which tells what the adapters give.
    """
    outside: dict[str, Processor] = {}
    inside: dict[str, Processor] = {}
    ports: dict[str, str] = {}
    edges = {name: list(sources) for name, sources in graph.edges.items()}
    watched: dict[str, Watched] = {}
    parts = first_parts(graph)
    for name, processor in graph.processors.items():
        if name not in cut:
            seen = watched[name] = Watched(parts[name]) if name in parts else Watched(_same)
            inside[name] = _plain(processor, seen if name in parts else None)
            continue
        del edges[name]
        if isinstance(processor, NeuralProcessor):
            columns = _columns_given(processor, _frame_of(graph, name, frames))
            ports[name] = f"{name} inputs"
            outside[name] = ObjectProcessor(name, _AdapterOnly(processor, columns))
            inside[name] = _plain(processor, SelectInputs(columns))
            edges[name] = [ports[name]]
        else:
            ports[name] = name
            outside[name] = processor
    fed = {source for sources in edges.values() for source in sources}
    known = [port for port in [*graph.ports, *ports.values()] if port in fed]
    exported = BatchGraph(graph.name, inside, known, edges)
    before = None
    if outside:
        before = BatchGraph(graph.name, outside, graph.ports, {n: graph.edges[n] for n in outside})
    return Boundary(exported, before, ports, {n: w for n, w in watched.items() if n in parts})


def drawing(graph: BatchGraph, frames: Frames) -> list[str]:
    """The processors that only ports feed whose adapter, or object, draws random numbers."""
    found = []
    for name, function in first_parts(graph).items():
        frame = _frame_of(graph, name, frames)
        with seeded(0):
            before = random_state()
            try:
                given = [function(dict(frame)) for _ in range(2)]
            except Exception:  # running the graph says what is wrong with it
                continue
            # One that has a generator of its own gives something else each time.
            if differs(before, random_state()) or differs(*given):
                found.append(name)
    return found


def differs(one: Any, other: Any) -> bool:
    """Whether two values are not the same; of tensors, and of dicts and lists of what is plain."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.shape == other.shape
        return not (same and torch.equal(one.nan_to_num(), other.nan_to_num()))
    if isinstance(one, Mapping):
        return one.keys() != other.keys() or any(differs(v, other[k]) for k, v in one.items())
    if isinstance(one, list | tuple):
        return len(one) != len(other) or any(map(differs, one, other))
    plain = (int, float, str, bool)
    return isinstance(one, plain) and isinstance(other, plain) and one != other


def _same(frame: Frame) -> Frame:
    return frame


def _frame_of(graph: BatchGraph, name: str, frames: Frames) -> Frame:
    """The frame that a processor gets which only ports feed."""
    whole = Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
    probe = BatchGraph(
        graph.name, {name: ObjectProcessor(name, _same)}, graph.ports, {name: graph.edges[name]}
    )
    return dict(BatchRun.for_evaluation(probe, Precision(), only_frames).run(whole)[name])


def _plain(processor: Processor, first: Callable[[Frame], Any] | None) -> Processor:
    """A processor without compilers and optimizers, with another adapter or object."""
    if isinstance(processor, NeuralProcessor):
        nodes = [_plain_node(node) for node in processor.nodes]
        adapter = processor.input_adapter if first is None else first
        return NeuralProcessor(processor.name, nodes, adapter, processor.output_adapter)
    return processor if first is None else ObjectProcessor(processor.name, first)


def _plain_node(node: Node) -> Node:
    return replace(node, optimizers=(), calling=replace(node.calling, forward=None))


def _columns_given(processor: NeuralProcessor, frame: Frame) -> dict[str, dict[str, str]]:
    """A column for each input that an adapter gives: ``{node: {input: column}}``.

    What the adapter only hands on keeps the name of its column.
    """
    given = _AdapterOnly(processor, {}).given(frame)
    names = [name for inputs in given.values() for name in inputs]
    by_value = {id(value): column for column, value in frame.items()}
    return {
        node: {
            name: by_value[id(value)]
            if id(value) in by_value
            else name
            if names.count(name) == 1 and name not in frame
            else f"{node}.{name}"
            for name, value in inputs.items()
        }
        for node, inputs in given.items()
    }


class _AdapterOnly:
    """The input adapter of a processor, as an object from frame to frame."""

    def __init__(
        self, processor: NeuralProcessor, columns: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.processor = processor
        self.columns = columns

    def given(self, frame: Frame) -> dict[str, dict[str, Any]]:
        assert self.processor.input_adapter is not None, "it is what is cut off"
        given: Any = self.processor.input_adapter(frame)
        if not isinstance(given, dict) or not all(isinstance(v, dict) for v in given.values()):
            raise DataError(
                f'the input adapter of "{self.processor.name}" must return '
                "{node: {input: value}}"
            )
        return given

    def __call__(self, frame: Frame) -> Frame:
        given = self.given(frame)
        columns = {
            column: given[node][name]
            for node, inputs in self.columns.items()
            for name, column in inputs.items()
        }
        return {**frame, **columns}
