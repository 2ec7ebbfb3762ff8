"""Batch processors: a frame goes in, a frame comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.errors import DataError, UserCodeError, UserError, listing, near
from torchassistant.frames import Frame
from torchassistant.graph.by_identity import distinct
from torchassistant.graph.carries import Carry
from torchassistant.graph.model_calls import Calling, Compiling
from torchassistant.graph.node_values import (
    Call,
    Place,
    kind_of,
    listed,
)

Adapter = Callable[[Frame], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One model in a neural graph.

    Args:
        name: Unique within its processor.
        model: Called with the inputs, in order.
        inputs: Names of the tensors that it is called with.
        outputs: Names of the tensors that it returns.
        optimizers: What trains it here; none where this graph does not change it.
        calling: How the model is called.
        carries: Inputs that are outputs of the batch before.
    """

    name: str
    model: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    optimizers: Sequence[Optimizer] = ()
    calling: Calling = field(default_factory=Calling)
    carries: Sequence[Carry] = ()


class Processor(Protocol):
    """What a batch graph is made of."""

    name: str

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes of the neural graph; none for an object of the user."""

    @property
    def modules(self) -> Sequence[nn.Module]:
        """Every module that runs here, once."""

    @property
    def parts(self) -> Sequence[Any]:
        """Everything of the user that runs here, modules or not."""

    @property
    def home(self) -> torch.device | None:
        """Where the columns of its frame may be before it runs; None is where they are."""

    def lowered(self, call_of: CallOf) -> Callable[[Frame], Frame]:
        """A function that runs this processor, with everything settled that can be."""


CallOf = Callable[[Node], Call]
"""Chooses how the model of a node is called: for evaluation, for training, or for inference."""


class NeuralProcessor:
    """An input adapter, an ordered neural graph, and an output adapter.

    The frame that comes out is the frame that went in plus the outputs of all nodes (an output
    wins over a column of its name), through the output adapter.

    Args:
        name: The name of the definition.
        nodes: In the order in which they run.
        input_adapter: Frame → ``{node: {input: value}}``; None looks inputs up in the frame.
        output_adapter: Frame → frame; None keeps everything.
        moves_to: The device of the models, where tensors may come from another one; else None.
        compiling: How the nodes are compiled, all of them as one; None leaves each as it is.
    """

    def __init__(
        self,
        name: str,
        nodes: Sequence[Node],
        input_adapter: Adapter | None = None,
        output_adapter: Adapter | None = None,
        moves_to: torch.device | None = None,
        compiling: Compiling | None = None,
    ) -> None:
        self.name = name
        self.nodes = nodes
        self.input_adapter = input_adapter
        self.output_adapter = output_adapter
        self.moves_to = moves_to
        self.compiling = compiling

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The models, once each."""
        adapters = (
            a for a in (self.input_adapter, self.output_adapter) if isinstance(a, nn.Module)
        )
        return distinct([*(node.model for node in self.nodes), *adapters])

    @property
    def home(self) -> torch.device | None:
        """Where its models are, unless an adapter may count on finding columns on the host."""
        adapters = [self.input_adapter, self.output_adapter]
        is_free = all(a is None or type(a).__module__ in _AT_HOME_ANYWHERE for a in adapters)
        return self.moves_to if is_free else None

    @property
    def parts(self) -> Sequence[Any]:
        """The models and the adapters."""
        return [*(node.model for node in self.nodes), self.input_adapter, self.output_adapter]

    def without_output_adapter(self) -> NeuralProcessor:
        """The same, whose frame stays as its nodes leave it."""
        same = copy(self)
        same.output_adapter = None
        return same

    def lowered(self, call_of: CallOf) -> Callable[[Frame], Frame]:
        """A function that runs this processor, each model called as ``call_of`` says."""
        return NeuralRun(self, [call_of(node) for node in self.nodes])

    @property
    def carries(self) -> bool:
        """Whether a node of it carries something from batch to batch."""
        return any(len(node.carries) for node in self.nodes)


_AT_HOME_ANYWHERE = ("torchassistant.adapters", "torchassistant.output_adapters")
"""Modules of adapters that read columns on any device."""


class NeuralRun:
    """A neural processor, lowered: where each input comes from is settled."""

    may_lack = True
    """Whether the last outputs of a node may be missing: whoever reads one does not find it."""

    def __init__(self, processor: NeuralProcessor, calls: Sequence[Callable[..., Any]]) -> None:
        self.processor = processor
        self.adapt_input = processor.input_adapter
        self.adapt_output = processor.output_adapter
        made: set[str] = set()
        self.steps = []
        for node, call in zip(processor.nodes, calls, strict=True):
            inputs = [(name, name in made) for name in node.inputs]
            self.steps.append((node.name, call, inputs, node.outputs))
            made.update(node.outputs)
        self.device = processor.moves_to
        self.run = self.run_nodes
        if processor.compiling is not None:
            self.run = processor.compiling(self.run_nodes)
        self.checked: Iterable[str] = frozenset()

    def __call__(self, frame: Frame) -> Frame:
        given = None
        if self.adapt_input is not None:
            given = self.adapted_input(self.adapt_input, frame)
        if frame.keys() != self.checked:
            self.check_sources(frame, given)
        whole = {**frame, **self.run(frame, given)}
        return whole if self.adapt_output is None else self.adapted_output(self.adapt_output, whole)

    def run_nodes(self, frame: Frame, given: dict[str, Any] | None) -> Frame:
        """The outputs of all nodes, by name."""
        outputs: Frame = {}
        for name, call, inputs, names in self.steps:
            own = frame if given is None else given.get(name, NOTHING)
            try:
                args = [outputs[key] if made else own[key] for key, made in inputs]
            except KeyError as error:
                raise self.missing(name, error.args[0], own, given) from None
            if self.device is not None:
                args = [moved(value, self.device) for value in args]
            try:
                result = call(*args)
            except UserError:
                raise
            except Exception as error:
                raise UserCodeError(f'the node "{name}" of "{self.processor.name}"') from error
            if isinstance(result, torch.Tensor) and len(names) == 1:
                result = (result,)
            elif type(result) is not tuple or len(result) != len(names):
                result = listed(result, names, self.place(name), self.may_lack)
            outputs.update(zip(names, result, strict=False))
        return outputs

    def adapted_input(self, adapter: Adapter, frame: Frame) -> dict[str, Any]:
        try:
            given = adapter(frame)
        except UserError:
            raise
        except Exception as error:
            part = f'the input adapter of "{self.processor.name}"'
            raise UserCodeError(_with_columns(part, frame, error)) from error
        nested: Any = given
        if not isinstance(nested, dict) or not all(isinstance(v, dict) for v in nested.values()):
            raise DataError(
                f'the input adapter of "{self.processor.name}" must return '
                "{node: {input: value}}; it returned " + kind_of(given)
            )
        return given

    def adapted_output(self, adapter: Adapter, frame: Frame) -> Frame:
        try:
            result = adapter(frame)
        except UserError:
            raise
        except Exception as error:
            part = f'the output adapter of "{self.processor.name}"'
            raise UserCodeError(_with_columns(part, frame, error)) from error
        if not isinstance(result, dict):
            raise DataError(
                f'the output adapter of "{self.processor.name}" must return a frame (a dict of '
                f"columns); it returned {kind_of(result)}"
            )
        return result

    def check_sources(self, frame: Frame, given: dict[str, Any] | None) -> None:
        """Two sources for one input are an error; asked for the first batch of its columns."""
        for name, _, inputs, _ in self.steps:
            own = frame if given is None else given.get(name, NOTHING)
            twice = sorted(key for key, made in inputs if made and key in own)
            if twice:
                where = "the frame" if given is None else "the input adapter"
                raise DataError(
                    f'the input "{twice[0]}" of the node "{name}" of "{self.processor.name}" has '
                    f"two sources: {where}, and the output of an earlier node",
                    about=(self.processor.name, name),
                )
        self.checked = frozenset(frame)

    def place(self, node: str) -> Place:
        return Place(self.processor.name, node)

    def missing(
        self, node: str, key: str, own: Iterable[str], given: dict[str, Any] | None
    ) -> DataError:
        text = f'the node "{node}" of "{self.processor.name}" needs the input "{key}", which '
        namers = [f'"{one.name}"' for one in self.processor.nodes if key in one.outputs]
        if namers and node != namers[0]:
            text += f"the node {namers[0]} names, and its model did not return"
            return DataError(text, about=(self.processor.name, node))
        if self.adapt_input is None or given is None:
            text += "is neither a column of the frame nor an output of an earlier node"
        elif node not in given:
            text += f'nothing gives: the input adapter has nothing for "{node}"'
            return DataError(text + near(node, given), about=(self.processor.name, node))
        else:
            text += "neither the input adapter nor an earlier node gives"
        return DataError(text + near(key, own), about=(self.processor.name, node))


NOTHING: dict[str, Any] = {}


class ObjectProcessor:
    """A batch processor that is an object of the user: a callable from frame to frame."""

    nodes: Sequence[Node] = ()
    home: torch.device | None = None

    def __init__(self, name: str, function: Callable[[Frame], Frame]) -> None:
        self.name = name
        self.function = function

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The object itself, where it is a module."""
        return [self.function] if isinstance(self.function, nn.Module) else []

    @property
    def parts(self) -> Sequence[Any]:
        """The object."""
        return [self.function]

    def lowered(self, call_of: CallOf) -> Callable[[Frame], Frame]:
        """A function that calls the object."""

        def run(frame: Frame) -> Frame:
            try:
                result = self.function(frame)
            except UserError:
                raise
            except Exception as error:
                raise UserCodeError(f'the batch processor "{self.name}"') from error
            if not isinstance(result, dict):
                raise DataError(
                    f'the batch processor "{self.name}" must return a frame (a dict of columns); '
                    f"it returned {kind_of(result)}"
                )
            return result

        return run


def moved(value: Any, device: torch.device) -> Any:
    """A tensor on the device; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.device != device:
        return value.to(device, non_blocking=True)
    return value


def _with_columns(part: str, frame: Frame, error: Exception) -> str:
    """Says which columns there are, where a lookup failed."""
    if isinstance(error, KeyError):
        return f"{part} (the frame has the columns {listing(list(frame))})"
    return part
