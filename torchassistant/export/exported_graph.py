"""A batch graph as one module: named tensors go in, named tensors come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from torchassistant.errors import DataError
from torchassistant.frames import Frames
from torchassistant.graph import BatchGraph
from torchassistant.graph import mapped as with_tensors
from torchassistant.training import chosen

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Column:
    """An input of the module that is a column of a port.

    Args:
        name: Of the input.
        port: The port.
        column: The column.
        batch_axis: The axis of its examples; None where it has none.
    """

    name: str
    port: str
    column: str
    batch_axis: int | None = 0


@dataclass(frozen=True, slots=True, eq=False)
class CarriedState:
    """What goes from batch to batch: further inputs, and further outputs.

    Args:
        nodes: For each processor, and each of its nodes, the inputs with what is carried first.
        inputs: The names of all tensors in there, in order.
        outputs: The names under which they come out.
    """

    nodes: Mapping[str, Mapping[str, Mapping[str, Any]]]
    inputs: Sequence[str]
    outputs: Sequence[str]

    def unflattened(self, tensors: Mapping[str, Tensor], examples: Any) -> dict[str, Any]:
        """What ``Frames.carried`` holds, made of the inputs of the module."""
        values = iter([tensors[name] for name in self.inputs])
        return {
            processor: {
                "examples": examples,
                "nodes": with_tensors(_plain(nodes), lambda _: next(values)),
            }
            for processor, nodes in self.nodes.items()
        }

    def flattened(self, carried: Mapping[str, Any]) -> list[Tensor]:
        """The tensors of ``Frames.carried``, in the order of their names."""
        return [
            tensor
            for processor in self.nodes
            for _, tensor in leaves("", carried[processor]["nodes"])
        ]

    def start(self) -> list[Tensor]:
        """What is carried to the first batch, in the order of the inputs."""
        return [tensor for nodes in self.nodes.values() for _, tensor in leaves("", _plain(nodes))]


def _plain(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {node: dict(inputs) for node, inputs in nodes.items()}


def leaves(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value, each with a name: ``NAME``, ``NAME.0``, ``NAME.key``.

    Raises:
        DataError: There is something else in it.
    """
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from leaves(f"{name}.{index}", item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(f"{name}.{key}", item)
    elif value is not None:
        raise DataError(
            f'the output "{name}" is of type {type(value).__name__}, and a file gives tensors '
            'only; "results" names the outputs to keep'
        )


def form_of(name: str, value: Any) -> Any:
    """A value with the names of :func:`leaves` in place of its tensors."""
    if isinstance(value, tuple | list):
        return [form_of(f"{name}.{index}", item) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: form_of(f"{name}.{key}", item) for key, item in value.items()}
    return None if value is None else name


@dataclass(slots=True)
class Wiring:
    """What goes into a graph, and what comes out.

    Args:
        columns: The inputs that are columns of ports.
        results: The columns that come out.
        state: What is carried from batch to batch; None where nothing is.
        dtype: In what it computes; None: as its models are.
    """

    columns: Sequence[Column]
    results: Sequence[str]
    state: CarriedState | None = None
    dtype: torch.dtype | None = None

    @property
    def inputs(self) -> list[str]:
        """The names of all inputs."""
        return [one.name for one in self.columns] + list(self.state.inputs if self.state else ())


class ExportedGraph(nn.Module):
    """The graph as a module: ``{input: tensor}`` → ``{output: tensor}``.

    Args:
        graph: What is run.
        run: Runs it, on the frames of its ports.
        models: Its models by name.
        wiring: Its inputs and outputs.
    """

    def __init__(
        self,
        graph: BatchGraph,
        run: Callable[[Frames], Frames],
        models: Mapping[str, nn.Module],
        wiring: Wiring,
    ) -> None:
        super().__init__()
        self.named = models
        self.models = nn.ModuleDict({name.replace(".", "_"): m for name, m in models.items()})
        known = {id(part) for part in self.models.modules()}
        self.others = nn.ModuleList(m for m in graph.reached if id(m) not in known)
        self.graph = graph
        self.run = run
        self.wiring = wiring
        self.eval()

    def without(self, names: Sequence[str]) -> ExportedGraph:
        """The same without some columns among the inputs."""
        columns = [one for one in self.wiring.columns if one.name not in names]
        wiring = replace(self.wiring, columns=columns)
        return ExportedGraph(self.graph, self.run, self.named, wiring)

    def forward(self, inputs: Tensors) -> Tensors:
        """Run a batch.

        Args:
            inputs: A tensor for each input, floating-point ones float32.

        Returns:
            The outputs by name; floating-point ones are float32.
        """
        frames = self.frames(inputs)
        columns = self._columns(frames)
        found = {key: t for name, value in columns.items() for key, t in leaves(name, value)}
        state = self.wiring.state
        if state is not None:
            found |= zip(state.outputs, state.flattened(frames.carried), strict=True)
        return {name: self._outside(tensor) for name, tensor in found.items()}

    def forms(self, inputs: Tensors) -> dict[str, Any]:
        """The columns that come out, with the names of the outputs in place of their tensors."""
        columns = self._columns(self.frames(inputs))
        return {name: form_of(name, value) for name, value in columns.items()}

    def _columns(self, frames: Frames) -> dict[str, Any]:
        return chosen(self.run(frames), self.graph, self.wiring.results)

    def frames(self, inputs: Mapping[str, Tensor]) -> Frames:
        """The frames of the ports."""
        frames = Frames({port: {} for port in self.graph.ports})
        for one in self.wiring.columns:
            value = inputs[one.name]
            frames[one.port][one.column] = self._inside(value)
            if one.batch_axis is not None:
                frames.counts.setdefault(one.port, value.shape[one.batch_axis])
        count = next(iter(frames.counts.values()), 1)
        for port in self.graph.ports:
            frames.counts.setdefault(port, count)
        state = self.wiring.state
        if state is not None:
            tensors = {name: self._inside(inputs[name]) for name in state.inputs}
            frames.carried = state.unflattened(tensors, count)
        return frames

    def _inside(self, value: Tensor) -> Tensor:
        dtype = self.wiring.dtype
        return value if dtype is None or not value.is_floating_point() else value.to(dtype)

    def _outside(self, value: Tensor) -> Tensor:
        dtype = self.wiring.dtype
        return value if dtype is None or value.dtype != dtype else value.float()
