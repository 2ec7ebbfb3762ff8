"""The shapes of the columns that go through each pipeline, as a picture of its graph shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from torchassistant.graph import Node
from torchassistant.training import Pipeline


class ColumnShapes:
    """Notes shapes of tensors.

    Attributes:
        found: By pipeline: ``ports`` (port, column) and ``nodes`` (processor, node, ``inputs`` or
            ``outputs``, name); a shape is a list of numbers. What is no tensor has none.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def note_ports(self, pipeline: Pipeline, frames: Mapping[str, Mapping[str, Any]]) -> None:
        """What feeds a pipeline."""
        of_pipeline = self.found.setdefault(pipeline.name, {})
        of_pipeline["ports"] = {port: _shapes(frame.items()) for port, frame in frames.items()}

    def note_node(
        self,
        pipeline: Pipeline,
        processor: str,
        node: Node,
        given: Sequence[Any],
        made: Sequence[Any],
    ) -> None:
        """What a node was called with, and what it gave."""
        nodes = self.found.setdefault(pipeline.name, {}).setdefault("nodes", {})
        nodes.setdefault(processor, {})[node.name] = {
            "inputs": _shapes(zip(node.inputs, given, strict=False)),
            "outputs": _shapes(zip(node.outputs, made, strict=False)),
        }


def _shapes(values: Iterable[tuple[str, Any]]) -> dict[str, list[int]]:
    return {name: [*value.shape] for name, value in values if isinstance(value, torch.Tensor)}
