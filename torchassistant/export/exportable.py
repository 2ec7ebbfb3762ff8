"""From a pipeline to the module that a file is made of, with batches to try it on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from torchassistant.data import random_state, seeded
from torchassistant.errors import DataError, UserCodeError, UserError, listing
from torchassistant.export.boundary import Boundary, bounded, differs, drawing
from torchassistant.export.exported_graph import (
    CarriedState,
    Column,
    ExportedGraph,
    Tensors,
    Wiring,
    leaves,
)
from torchassistant.export.sample_batches import Axes, axes_of
from torchassistant.frames import Frames
from torchassistant.graph import BatchGraph, Node, Place, first_values, mapped
from torchassistant.training import BatchRun, Pipeline, Precision, StopRequest, chosen, only_frames


@dataclass(frozen=True, slots=True, eq=False)
class Exportable:
    """A graph as a module, and batches for it.

    Args:
        module: The graph.
        boundary: What of the session's graph stays outside.
        batches: Run the graph, in the right mode.
        samples: For each size of batch, the inputs.
        axes: For each input, its axes that are of no fixed size.
        by_inference: Whether models are called by ``run_inference``, where they have one.
        batch: The only size of batches; None: any.
    """

    module: ExportedGraph
    boundary: Boundary
    batches: BatchRun[Frames]
    samples: Sequence[Tensors]
    axes: Mapping[str, Axes]
    by_inference: bool = False
    batch: int | None = None

    def without(self, names: Sequence[str]) -> Exportable:
        """The same without some columns among the inputs, which nothing depends on."""
        samples = [
            {name: value for name, value in sample.items() if name not in names}
            for sample in self.samples
        ]
        return replace(self, module=self.module.without(names), samples=samples)

    def axis_names(self) -> dict[str, dict[int, str]]:
        """For each input the names of its axes that are of any size."""
        return {
            name: ({} if self.batch is not None else dict.fromkeys(self.axes[name].batch, "batch"))
            | {axis: f"{name}_{axis}" for axis in self.axes[name].varying}
            for name in self.samples[-1]
        }

    def input_shapes(self) -> dict[str, list[int | str]]:
        """For each input its sizes, those that may be any by their names."""
        names = self.axis_names()
        return {
            name: [names[name].get(axis, size) for axis, size in enumerate(value.shape)]
            for name, value in self.samples[-1].items()
        }

    def output_shape(
        self, name: str, shapes: Sequence[Sequence[int]], batches: Sequence[Tensors]
    ) -> list[int | str]:
        """The same of an output: a size that follows an axis of an input has its name.

        Args:
            name: Of the output.
            shapes: Its shapes in some batches.
            batches: Their inputs.
        """
        known = {
            tuple(inputs[one].shape[axis] for inputs in batches): called
            for one, axes in self.axis_names().items()
            for axis, called in axes.items()
        }
        return [
            known.get(sizes, sizes[0] if len(set(sizes)) == 1 else f"{name}_{axis}")
            for axis, sizes in enumerate(zip(*shapes, strict=True))
        ]

    def inputs_of(self, frames: Frames) -> Tensors:
        """The columns among the inputs, for the frames of the ports of the session's graph."""
        given = self.boundary.frames(frames)
        return {one.name: given[one.port][one.column] for one in self.module.wiring.columns}

    def first_state(self, frames: Frames) -> Tensors:
        """What is carried to a first batch, for the frames of the ports of the session's graph."""
        state = self.module.wiring.state
        if state is None:
            return {}
        start = _first_state(self.module.graph, self.batches, self.boundary.frames(frames))
        tensors = CarriedState(start, state.inputs, state.outputs).start()
        return dict(zip(state.inputs, tensors, strict=True))

    def outputs_of(self, inputs: Tensors) -> Tensors:
        """What torch makes of some inputs."""
        with self.batches.mode(), seeded(0):
            return {name: value.clone() for name, value in self.module(dict(inputs)).items()}

    def forms(self) -> dict[str, Any]:
        """The columns that come out, with the names of the outputs in place of their tensors."""
        with self.batches.mode(), seeded(0):
            return self.module.forms(dict(self.samples[0]))


class Planner:
    """Makes the module of a pipeline, with more or less of it left outside.

    Args:
        pipeline: The pipeline.
        results: The columns that are to come out; None: all outputs of the last processors.
        frames: Batches of several sizes.
        counts: The numbers of their examples.
        dtype: In what it computes; None: as the models are.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        results: Sequence[str] | None,
        frames: Sequence[Frames],
        counts: Sequence[int],
        dtype: torch.dtype | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.graph = pipeline.graph
        self.results = results
        self.frames = frames
        self.counts = counts
        self.dtype = dtype
        for bring_up_to_date in self.graph.before_evaluation:
            bring_up_to_date(StopRequest())
        self.drawing = drawing(self.graph, frames[-1])

    @property
    def models(self) -> dict[str, nn.Module]:
        """The models of the graph by name."""
        there = {id(module) for module in self.graph.modules}
        return {n: m for n, m in self.pipeline.models.items() if id(m) in there}

    @property
    def infers(self) -> list[str]:
        """The nodes whose models have a ``run_inference``."""
        return [n.name for n in self.graph.nodes if hasattr(n.model, "run_inference")]

    def planned(self, cut: Sequence[str], by_inference: bool) -> Exportable:
        """The module, with the adapters of some processors left outside.

        Args:
            cut: These processors.
            by_inference: Whether models are called by ``run_inference`` where they have one.

        Raises:
            CutOff: Another adapter has to be left outside.
            UserError: Something cannot be exported.
        """
        boundary = bounded(self.graph, cut, self.frames[-1])
        run = BatchRun.for_inference if by_inference else BatchRun.for_evaluation
        batches: BatchRun[Frames] = run(boundary.graph, Precision(), only_frames)
        framed = [boundary.frames(frames) for frames in self.frames]
        columns, axes = self._columns(boundary.graph, framed)
        with batches.mode(), seeded(0):
            state, states = self._state(boundary.graph, batches, framed)
            if state is not None:
                axes |= {
                    name: axes_of([s[name] for s in states], self.counts, name)
                    for name in state.inputs
                }
            if state is not None:
                _expect_zeros_mean_none(boundary.graph, batches, framed[-1], state, states[-1])
            wiring = Wiring(columns, [], state, self.dtype)
            module = ExportedGraph(boundary.graph, batches.run, self.models, wiring)
            if self.dtype is not None:
                module.to(self.dtype)
            samples = [
                {one.name: given[one.port][one.column] for one in columns} | carried
                for given, carried in zip(framed, states, strict=True)
            ]
            with watching(boundary):
                wiring.results = self._results(module, samples[-1])
        return Exportable(module, boundary, batches, samples, axes, by_inference)

    def _columns(
        self, graph: BatchGraph, framed: Sequence[Frames]
    ) -> tuple[list[Column], dict[str, Axes]]:
        found = [
            (port, name)
            for port in graph.ports
            for name, value in framed[-1][port].items()
            if isinstance(value, Tensor) and value.layout is torch.strided
        ]
        names = [name for _, name in found]
        columns, axes = [], {}
        for port, column in found:
            name = column if names.count(column) == 1 else f"{port}.{column}"
            values = [frames[port][column] for frames in framed]
            counts = [frames.counts[port] for frames in framed]
            axes[name] = axes_of(values, counts, name)
            columns.append(Column(name, port, column, next(iter(axes[name].batch), None)))
        return columns, axes

    def _results(self, module: ExportedGraph, sample: Tensors) -> list[str]:
        """The columns that come out, where torch runs the graph on tensors alone."""
        frames = module.frames(sample)
        given = [id(value) for frame in frames.values() for value in frame.values()]
        before = random_state()
        try:
            made = module.run(frames)
        except (UserError, UserCodeError) as error:
            if self.dtype is not None and isinstance(error, UserCodeError):
                kind = str(self.dtype).removeprefix("torch.")
                why = f"{error}: {error.__cause__}"
                raise DataError(f"the graph cannot be computed in {kind}: {why}") from error
            raise self._without_lists(error) from error.__cause__
        if differs(before, random_state()):
            raise Draws(
                "a model draws random numbers in evaluation too, so that no two runs give the "
                "same; let it take the noise as an input (--format safetensors writes the weights)"
            )
        names = self.results
        if names is None:
            found = chosen(made, module.graph, None)
            names = [name for name, value in found.items() if id(value) not in given]
            names = names or list(found)
        return list(names)

    def _without_lists(self, error: UserError | UserCodeError) -> UserError | UserCodeError:
        """The same error, and what a file cannot take, where that may be why."""
        lists = sorted(
            {
                name
                for frame in self.frames[-1].values()
                for name, value in frame.items()
                if not isinstance(value, Tensor)
            }
        )
        if not lists or not isinstance(error, DataError):
            return error
        return DataError(f"{error}; a file takes tensors only, which {listing(lists)} are not")

    def _state(
        self, graph: BatchGraph, batches: BatchRun[Frames], framed: Sequence[Frames]
    ) -> tuple[CarriedState | None, list[Tensors]]:
        """What is carried from batch to batch, and its first values for each size of batch."""
        if not graph.carries:
            return None, [{} for _ in framed]
        starts = [_first_state(graph, batches, frames) for frames in framed]
        inputs, outputs = _carried_names(graph, starts[-1])
        states = [CarriedState(start, inputs, outputs) for start in starts]
        first = [dict(zip(inputs, state.start(), strict=True)) for state in states]
        return states[-1], first


def _first_state(
    graph: BatchGraph, batches: BatchRun[Frames], frames: Frames
) -> dict[str, dict[str, dict[str, Any]]]:
    """What is carried to a first batch, by processor, node and input.

    Where that is None, it is zeros of the shapes that are carried on: torch's recurrent layers
    begin with zeros then; see :func:`_expect_zeros_mean_none`.
    """
    whole = Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
    after = batches.run(whole).carried
    start: dict[str, dict[str, dict[str, Any]]] = {}
    for name, nodes in _carrying(graph):
        examples = after[name]["examples"]
        for node in nodes:
            given = first_values(node.model, node.carries, examples, Place(name, node.name))
            then = after[name]["nodes"][node.name]
            values = {
                key: mapped(then[key], torch.zeros_like) if value is None else value
                for key, value in given.items()
            }
            start.setdefault(name, {})[node.name] = values
    return start


def _expect_zeros_mean_none(
    graph: BatchGraph,
    batches: BatchRun[Frames],
    frames: Frames,
    state: CarriedState,
    start: Tensors,
) -> None:
    """Expect a model that begins with None to do the same with zeros, as a file has no None.

    Raises:
        DataError: One does not.
    """
    given = [
        Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
        for _ in range(2)
    ]
    given[1].carried = state.unflattened(start, next(iter(frames.counts.values()), 1))
    with_none, with_zeros = map(batches.run, given)
    for processor, nodes in _carrying(graph):
        found, wanted = with_zeros[processor], with_none[processor]
        if all(_close(value, found[name]) for name, value in wanted.items()):
            continue
        names = listing([node.name for node in nodes])
        raise DataError(
            f'a model of "{processor}" ({names}) does something else with None, which it begins '
            "with, than with zeros, and a file has no None; let a method "
            '"initial_state(batch_size)" of the model give what it begins with'
        )


def _close(one: Any, other: Any) -> bool:
    """Whether two values are the same up to the order in which they were summed up."""
    if not isinstance(one, Tensor):
        return True
    if one.shape != other.shape or not one.is_floating_point():
        return not differs(one, other)
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def _carrying(graph: BatchGraph) -> list[tuple[str, list[Node]]]:
    """The processors that carry something, with those of their nodes that do."""
    found = [
        (name, [node for node in processor.nodes if len(node.carries)])
        for name, processor in graph.processors.items()
    ]
    return [(name, nodes) for name, nodes in found if nodes]


def _carried_names(
    graph: BatchGraph, start: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> tuple[list[str], list[str]]:
    """The names of the tensors that are carried, as inputs and as outputs."""
    inputs: list[str] = []
    outputs: list[str] = []
    for name, nodes in _carrying(graph):
        for node in nodes:
            for carry in node.carries:
                value = start[name][node.name][carry.input]
                heads = [
                    key if key not in known else f"{node.name}.{key}"
                    for key, known in ((carry.input, inputs), (carry.output, outputs))
                ]
                inputs += [key for key, _ in leaves(heads[0], value)]
                outputs += [key for key, _ in leaves(heads[1], value)]
    return inputs, outputs


class Draws(UserError):
    """A model draws random numbers in evaluation."""


class CutOff(Exception):
    """An adapter cannot be traced, and may be left outside.

    Args:
        processor: Whose adapter.
        error: What was raised.
    """

    def __init__(self, processor: str, error: BaseException) -> None:
        self.processor = processor
        self.error = error
        super().__init__(processor)


@contextmanager
def watching(boundary: Boundary) -> Iterator[None]:
    """Say of what is raised in here whether an adapter raised it that may be left outside.

    Raises:
        CutOff: It was.
    """
    try:
        yield
    except Exception as error:
        for name, watched in boundary.watched.items():
            if watched.error is not None:
                raise CutOff(name, watched.error) from error
        raise
