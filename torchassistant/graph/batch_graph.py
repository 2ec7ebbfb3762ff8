"""Batch processors joined by edges, and the flat plan that they are lowered to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from torchassistant.config import topological_order
from torchassistant.frames import Frame, Frames, merge
from torchassistant.graph.by_identity import distinct
from torchassistant.graph.carries import expect_examples
from torchassistant.graph.carrying_run import CarriesOn, CarryingRun
from torchassistant.graph.freezing import NOTHING_FROZEN, Frozen
from torchassistant.graph.mode import is_part_of_one
from torchassistant.graph.model_calls import Calling
from torchassistant.graph.node_values import Call
from torchassistant.graph.processor import CallOf, NeuralProcessor, Node, Processor

Watched = Callable[[Processor, Node | None, Call], Call]
"""From a processor, and one of its nodes or None for all of it, and the call, to another call."""


class BatchGraph:
    """Batch processors, fed through named input ports.

    Args:
        name: The name of the definition.
        processors: By name, as written.
        ports: The names of the input ports.
        edges: For each processor, the ports and processors that feed it, in order.
        called: Gives the modules that objects of the user call by themselves, once all is built.
        frozen: What stays as it is while the graph is trained.
    """

    def __init__(
        self,
        name: str,
        processors: Mapping[str, Processor],
        ports: Sequence[str],
        edges: Mapping[str, Sequence[str]],
        called: Callable[[], Sequence[nn.Module]] = tuple,
        frozen: Frozen = NOTHING_FROZEN,
    ) -> None:
        self.name = name
        self.processors = processors
        self.ports = ports
        self.edges = edges
        self.called = called
        self.before_evaluation: Sequence[Callable[[Any], None]] = ()
        """Called with what may stop them, before it is evaluated with new weights."""
        self.frozen = frozen

    def freezing(self, frozen: Frozen) -> BatchGraph:
        """The same graph, for a stage in which something of it is frozen."""
        return BatchGraph(self.name, self.processors, self.ports, self.edges, self.called, frozen)

    def without_last_adapters(self) -> BatchGraph:
        """The same graph without the output adapters that it ends with."""
        ends = {
            name: processor.without_output_adapter()
            for name, processor in self.processors.items()
            if name in self.leaves and isinstance(processor, NeuralProcessor)
        }
        processors = {**self.processors, **ends}
        return BatchGraph(self.name, processors, self.ports, self.edges, self.called, self.frozen)

    @property
    def nodes(self) -> list[Node]:
        """The nodes of all processors."""
        return [node for processor in self.processors.values() for node in processor.nodes]

    @property
    def modules(self) -> list[nn.Module]:
        """Every module of the graph, once."""
        return distinct(m for p in self.processors.values() for m in p.modules)

    @cached_property
    def reached(self) -> list[nn.Module]:
        """The same, and every module that an object of the user calls by itself.

        These are in the mode that they were built in while the graph is trained, as nobody knows
        what they are there for; they are in eval mode wherever it is evaluated.
        """
        return distinct([*self.modules, *self.called()])

    @property
    def home(self) -> torch.device | None:
        """Where the columns of its ports may be before it runs; None is where they are.

        The frame of a port goes on through the graph, so all processors have to be at one place.
        """
        homes = {processor.home for processor in self.processors.values()}
        return homes.pop() if len(homes) == 1 else None

    @property
    def is_on_cuda(self) -> bool:
        """Whether a parameter of it is on a CUDA device."""
        return any(p.is_cuda for module in self.modules for p in module.parameters())

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers of the nodes, once each, in the order of the nodes."""
        return distinct(one for node in self.nodes for one in node.optimizers)

    @property
    def trained(self) -> list[nn.Module]:
        """The models that a pipeline over this graph changes."""
        return distinct(node.model for node in self.nodes if node.optimizers)

    @property
    def carries(self) -> bool:
        """Whether a node of it carries something from batch to batch."""
        return any(len(node.carries) for node in self.nodes)

    @cached_property
    def carried_outputs(self) -> frozenset[str]:
        """The outputs of nodes that are carried from batch to batch."""
        return frozenset(carry.output for node in self.nodes for carry in node.carries)

    @cached_property
    def origins(self) -> dict[str, str]:
        """For each processor, under which name its number of examples stands in ``Frames.counts``.

        It is itself where several frames lead into it, else the origin of the one that does.
        """
        found: dict[str, str] = {}

        def origin(name: str) -> str:
            sources = self.edges.get(name, ())
            if name not in found:
                found[name] = origin(sources[0]) if len(sources) == 1 else name
            return found[name]

        return {name: origin(name) for name in self.processors}

    def count_of(self, frames: Frames, processor: str) -> int:
        """The number of examples in the frame of a processor that has run."""
        return frames.counts[self.origins[processor]]

    @property
    def leaves(self) -> list[str]:
        """The processors that feed no other."""
        fed = {source for sources in self.edges.values() for source in sources}
        return [name for name in self.processors if name not in fed]

    def for_training(self, watched: Watched | None = None) -> Plan:
        """A plan in which the models that this graph does not train keep their buffers.

        A node may say otherwise, of its own model.

        Args:
            watched: Puts something around the call of each processor and of each model.
        """
        return self._training if watched is None else self._plan(self._train, watched)

    def for_evaluation(self, watched: Watched | None = None) -> Plan:
        """A plan in which every model is called plainly.

        Args:
            watched: Puts something around the call of each processor and of each model.
        """
        return self._evaluation if watched is None else self._plan(_evaluate, watched)

    def for_inference(self) -> Plan:
        """A plan that uses a model's ``run_inference`` where it has one."""
        return self._inference

    # Made once: what is compiled stays so.

    @cached_property
    def _training(self) -> Plan:
        return self._plan(self._train)

    @cached_property
    def _evaluation(self) -> Plan:
        return self._plan(_evaluate)

    @cached_property
    def _inference(self) -> Plan:
        return self._plan(lambda node: node.calling.inference(node.model))

    def _train(self, node: Node) -> Call:
        is_trained = is_part_of_one(node.model, self.trained)
        return node.calling.training(node.model, is_trained, self.frozen.buffers_in(node.model))

    def _plan(self, call_of: CallOf, watched: Watched | None = None) -> Plan:
        # A processor that stands before another in the config runs before it where both may run:
        # user code may draw random numbers, so the order has to be settled.
        order = topological_order({name: self.edges[name] for name in self.processors})
        readers = Counter(source for sources in self.edges.values() for source in sources)
        # Losses and metrics may read the frame of any processor, so each counts as read twice.
        readers.update(list(self.processors))
        steps = [
            (name, list(self.edges[name]), _lowered(self.processors[name], call_of, watched))
            for name in order
        ]
        shared = {source for source, count in readers.items() if count > 1}
        if not self.carries:
            return Plan(steps, shared, self.origins)
        carrying = {
            name: _lowered_to_carry(processor, call_of, watched)
            for name, processor in self.processors.items()
            if isinstance(processor, NeuralProcessor) and processor.carries
        }
        return CarryingPlan(steps, shared, self.origins, carrying)


def set_training(
    graphs: Sequence[BatchGraph], beside: Sequence[tuple[nn.Module, Calling]] = ()
) -> None:
    """Train mode for all that runs in graphs that are trained together.

    A model that is in eval mode wherever it is run stays in it, so that nothing has to be switched
    while they run; and so does what is frozen in eval mode.

    Args:
        graphs: Their modules.
        beside: Models that are run beside the graphs, and how.
    """
    for graph in graphs:
        for module in graph.modules:
            module.train()
    for model, _ in beside:
        model.train()
    run = [*((n.model, n.calling) for graph in graphs for n in graph.nodes), *beside]
    still = [model for model, calling in run if calling.in_eval_mode]
    if still:
        moving = [model for model, calling in run if not calling.in_eval_mode]
        parts = {id(part) for model in moving for part in model.modules()}
        for model in still:
            if not any(id(part) in parts for part in model.modules()):
                model.eval()
    for graph in graphs:
        graph.frozen.set_mode()


def _evaluate(node: Node) -> Call:
    return node.calling.plain(node.model)


def _lowered(
    processor: Processor, call_of: CallOf, watched: Watched | None
) -> Callable[[Frame], Frame]:
    if watched is None:
        return processor.lowered(call_of)
    run = processor.lowered(lambda node: watched(processor, node, call_of(node)))
    return watched(processor, None, run)


def _lowered_to_carry(
    processor: NeuralProcessor, call_of: CallOf, watched: Watched | None
) -> CarriesOn:
    if watched is None:
        return CarryingRun(processor, list(map(call_of, processor.nodes))).carry_on
    calls = [watched(processor, node, call_of(node)) for node in processor.nodes]
    return watched(processor, None, CarryingRun(processor, calls).carry_on)


class Plan:
    """A batch graph as a flat list of steps; nothing is looked for while it runs.

    Args:
        steps: Name, sources and function of each processor, in the order in which they run.
        shared: Sources that have several readers; each of them gets a frame of its own.
        origins: Where the number of examples of each processor is to be found.
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, list[str], Callable[[Frame], Frame]]],
        shared: set[str],
        origins: Mapping[str, str],
    ) -> None:
        self.origins = origins
        self.steps = [
            (name, sources[0] if len(sources) == 1 else None, sources, sources[0] in shared, run)
            for name, sources, run in steps
        ]

    def run(self, frames: Frames) -> Frames:
        """Run every processor.

        Args:
            frames: A frame for each port; the frame of each processor is added to it.
        """
        for name, source, sources, shared, run in self.steps:
            if source is None:
                counts = [frames.counts[self.origins.get(s, s)] for s in sources]
                frame, frames.counts[name] = merge(
                    [frames[s] for s in sources], counts, sources, name
                )
            elif shared:
                frame = dict(frames[source])
            else:
                frame = frames[source]
            frames[name] = run(frame)
        return frames


class CarryingPlan(Plan):
    """A plan of which some processors carry state from batch to batch.

    That state comes and goes in ``Frames.carried``.

    Args:
        steps: See :class:`Plan`; of processors that carry something, the function is not called.
        shared: See :class:`Plan`.
        origins: See :class:`Plan`.
        carrying: The functions of these.
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, list[str], Callable[[Frame], Frame]]],
        shared: set[str],
        origins: Mapping[str, str],
        carrying: Mapping[str, CarriesOn],
    ) -> None:
        super().__init__(steps, shared, origins)
        self.pieces: list[tuple[Plan, str, CarriesOn | None]] = []
        piece: list[tuple[str, list[str], Callable[[Frame], Frame]]] = []
        for name, sources, run in steps:
            piece.append((name, sources, _unchanged if name in carrying else run))
            if name in carrying:
                self.pieces.append((Plan(piece, shared, origins), name, carrying[name]))
                piece = []
        self.pieces.append((Plan(piece, shared, origins), "", None))

    def run(self, frames: Frames) -> Frames:
        """Run every processor; see :class:`Plan`."""
        before = getattr(frames, "carried", {})
        is_guessed = getattr(frames, "is_guessed", False)
        after = {}
        for piece, name, carry_on in self.pieces:
            piece.run(frames)
            if carry_on is not None:
                examples = frames.counts[self.origins[name]]
                frame, state = frames[name], before.get(name)
                if state is not None and not is_guessed:
                    expect_examples(state, examples, name)
                frames[name], after[name] = carry_on(frame, examples, state)
        frames.carried = after
        return frames


def _unchanged(frame: Frame) -> Frame:
    return frame
