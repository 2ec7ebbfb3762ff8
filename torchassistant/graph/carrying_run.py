"""A neural processor that runs with inputs which are outputs of the batch before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchassistant.errors import DataError
from torchassistant.frames import Frame
from torchassistant.graph.carries import (
    Carried,
    detached,
    first_values,
    mapped,
)
from torchassistant.graph.processor import NOTHING, NeuralRun, Node

CarriesOn = Callable[[Frame, int, Carried | None], tuple[Frame, Carried]]
"""From a frame, its number of examples and what is carried to it, to a frame and what goes on."""


class CarryingRun(NeuralRun):
    """The same, with inputs that are outputs of the batch before."""

    may_lack = False

    def carry_on(
        self, frame: Frame, examples: int, before: Carried | None
    ) -> tuple[Frame, Carried]:
        """Run a batch.

        Args:
            frame: Its columns.
            examples: Their number.
            before: What is carried from the batch before; None at the start of a pass.

        Returns:
            The frame, and what is carried to the next batch.
        """
        given = None
        if self.adapt_input is not None:
            given = self.adapted_input(self.adapt_input, frame)
        carried = {
            node.name: self.values(node, examples, before)
            for node in self.processor.nodes
            if len(node.carries)
        }
        if frame.keys() != self.checked:
            self.check_carried(frame, given, carried)
            self.check_sources(frame, given)
        own = (
            dict.fromkeys((n.name for n in self.processor.nodes), frame) if given is None else given
        )
        whole = {
            name: {**own.get(name, NOTHING), **carried.get(name, NOTHING)}
            for name in {**own, **carried}
        }
        outputs = self.run(frame, whole)
        after = {
            node.name: {
                carry.input: detached(outputs[carry.output], carry.output, self.place(node.name))
                for carry in node.carries
            }
            for node in self.processor.nodes
            if len(node.carries)
        }
        result = {**frame, **outputs}
        if self.adapt_output is not None:
            result = self.adapted_output(self.adapt_output, result)
        return result, {"examples": examples, "nodes": after}

    def values(self, node: Node, examples: int, before: Carried | None) -> dict[str, Any]:
        """The inputs of a node that are carried."""
        names = {carry.input for carry in node.carries}
        found = {} if before is None else before["nodes"].get(node.name, {})
        if found.keys() != names:
            found = first_values(node.model, node.carries, examples, self.place(node.name))
        device = self.device
        if device is None:
            return dict(found)
        return {name: mapped(v, lambda tensor: tensor.to(device)) for name, v in found.items()}

    def check_carried(
        self, frame: Frame, given: dict[str, Any] | None, carried: dict[str, dict[str, Any]]
    ) -> None:
        """What is carried has no other source."""
        for name, values in carried.items():
            own = frame if given is None else given.get(name, NOTHING)
            twice = sorted(values.keys() & own.keys())
            if twice:
                where = "the frame" if given is None else "the input adapter"
                raise DataError(
                    f'the input "{twice[0]}" of {self.place(name)} has two sources: {where}, and '
                    "the batch before",
                    about=(self.processor.name, name),
                )
