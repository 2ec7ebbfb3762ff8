"""What goes into each node of a graph and what comes out, as a batch runs through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from torchassistant.errors import listing
from torchassistant.graph import Call, Node, Processor, Watched, is_among, values_by_name
from torchassistant.session.preflight.changed_buffers import noting_changed_buffers
from torchassistant.session.preflight.column_shapes import ColumnShapes
from torchassistant.session.preflight.findings import Findings
from torchassistant.session.preflight.report import NodeReport
from torchassistant.training import Pipeline


class NodeWatch:
    """Notes what nodes do.

    Args:
        found: Learns which node runs, and what it was called with.
        shapes: Learns the shapes of columns.

    Attributes:
        reports: Every node, as each pipeline ran it.
    """

    def __init__(self, found: Findings, shapes: ColumnShapes) -> None:
        self.found = found
        self.shapes = shapes
        self.reports: list[NodeReport] = []
        self._optimizers = {id(o): name for name, o in found.session.optimizers.items()}
        self._warned_of_buffers: set[int] = set()

    def of(self, pipeline: Pipeline, reports: list[tuple[Node, NodeReport]]) -> Watched:
        """What wraps each call of a node; ``reports`` are those of this run."""
        found = self.found

        def watched(processor: Processor, node: Node | None, call: Call) -> Call:
            if node is None:
                return call

            noting = self._noting_buffers(pipeline, processor, node, call)

            def run(*args: Any) -> object:
                found.at = found.path_of_node(processor.name, node.name)
                inputs = _inputs(node, args)
                found.entering = f"; it was called with {', '.join(inputs)}" if inputs else ""
                result = noting(*args)
                found.entering = ""
                made = _values_of(result, node.outputs)
                self._warn_of_missing(node, made)
                self.shapes.note_node(pipeline, processor.name, node, args, made)
                report = self._report(pipeline, processor, node, inputs, made)
                reports.append((node, report))
                self.reports.append(report)
                return result

            return run

        return watched

    def _warn_of_missing(self, node: Node, made: Sequence[Any]) -> None:
        """Warn of outputs that a model did not return: who reads one does not find it."""
        if len(made) < len(node.outputs):
            missing = listing(node.outputs[len(made) :])
            message = f"the node names {missing}, and its model did not return so many outputs"
            warning = self.found.warn_once(message, self.found.at)
            self.found.missing_outputs.append(warning)

    def _report(
        self,
        pipeline: Pipeline,
        processor: Processor,
        node: Node,
        inputs: list[str],
        made: Sequence[Any],
    ) -> NodeReport:
        return NodeReport(
            pipeline.name,
            processor.name,
            node.name,
            "train" if node.model.training and not node.calling.in_eval_mode else "eval",
            inputs,
            [_described(label, value) for label, value in zip(_labels(node), made, strict=False)],
            sum(p.numel() for p in node.model.parameters()),
            ", ".join(self._optimizers[id(optimizer)] for optimizer in node.optimizers) or None,
        )

    def _noting_buffers(
        self, pipeline: Pipeline, processor: Processor, node: Node, call: Call
    ) -> Call:
        """Warn where training would throw away what a call does to buffers, and nobody said so."""
        calling, model = node.calling, node.model
        is_kept = calling.keeps(is_trained=is_among(model, pipeline.graph.trained))
        is_compiled = calling.forward is not None or getattr(processor, "compiling", None)
        if calling.keeps_buffers is not None or not is_kept or is_compiled:
            return call

        def noting(*args: Any) -> Any:
            with noting_changed_buffers(model) as changed:
                result = call(*args)
            # Out of training nothing is put back.
            if changed and torch.is_grad_enabled():
                self._warn_of_buffers(processor, node, changed)
            return result

        return noting

    def _warn_of_buffers(self, processor: Processor, node: Node, changed: list[str]) -> None:
        model = node.model
        if id(model) in self._warned_of_buffers:
            return
        self._warned_of_buffers.add(id(model))
        (name, *_) = self.found.names([model])
        self.found.warn(
            f'the model "{name}" is not trained here, and its forward pass changes buffers, which '
            f'are put back after it ({listing(changed)}); "buffers": "move" lets them change, '
            '"keep" says that this is meant',
            self.found.path_of_node(processor.name, node.name),
        )


def _inputs(node: Node, values: Sequence[Any]) -> list[str]:
    """What a node is called with, values that are carried with where they come from."""
    carried = {c.input: f"{c.input} carried from {c.output}" for c in node.carries}
    labels = [carried.get(name, name) for name in node.inputs]
    return [_described(label, value) for label, value in zip(labels, values, strict=True)]


def _labels(node: Node) -> list[str]:
    """The names of what a node gives, those of taps with where they come from."""
    taps = {tap.name: f"{tap.name} from {tap.written}" for tap in node.calling.taps}
    return [taps.get(name, name) for name in node.outputs]


def _values_of(result: Any, outputs: Sequence[str]) -> list[Any]:
    """What a model has returned for each output."""
    if isinstance(result, (list, tuple)):
        return list(result)
    named = None if isinstance(result, torch.Tensor) else values_by_name(result)
    return [result] if named is None else [named.get(name) for name in outputs]


def _described(name: str, value: Any) -> str:
    """A value as ``name (shape) dtype``."""
    if isinstance(value, torch.Tensor):
        shape = ", ".join(map(str, value.shape))
        return f"{name} ({shape}) {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (list, tuple)):
        return f"{name} {type(value).__name__} of {len(value)}"
    return f"{name} {type(value).__name__}"
