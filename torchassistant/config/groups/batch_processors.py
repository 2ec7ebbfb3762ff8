"""Frame in, frame out: nodes between two adapters, or an object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, Tag

from torchassistant.config.blocks import (
    NAMES_OR_TABLE,
    Block,
    Compile,
    Device,
    Name,
    NameOrNames,
    Names,
    ObjectSpec,
)
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.module_patterns import TAP
from torchassistant.config.references import Reference
from torchassistant.config.role import ADAPTER, BATCH_PROCESSOR, CALLABLE, MODULE, Role
from torchassistant.config.tree import Path

INPUT_ADAPTER = Role(
    "input_adapter",
    "input adapter (it cannot be called)",
    ("torchassistant.adapters",),
    methods=CALLABLE,
    kind=ADAPTER,
    other_kinds=(BATCH_PROCESSOR, MODULE),
    holds=(ADAPTER, BATCH_PROCESSOR),
    or_itself=True,
)
OUTPUT_ADAPTER = replace(
    INPUT_ADAPTER,
    name="output_adapter",
    noun="output adapter (it cannot be called)",
    search_paths=("torchassistant.output_adapters",),
)


class NodeSpec(Block):
    """One model in a neural graph."""

    model_name: Name = Field(description="The model that is called.")
    inputs: Annotated[
        Annotated[list[Name], Tag("names")] | Annotated[dict[Name, Name], Tag("table")],
        NAMES_OR_TABLE,
    ] = Field(
        description="Names of the tensors that the model is called with, in order; or an object, "
        "parameter → name: it is called by keyword."
    )
    outputs: Annotated[
        Annotated[Names, Tag("names")]
        | Annotated[dict[Name, Name], Field(min_length=1), Tag("table")],
        NAMES_OR_TABLE,
    ] = Field(
        description="Names of the tensors that the model returns, in order, or the keys of a dict "
        "that it returns; or an object, key → name. Keys that are not named are dropped."
    )
    taps: dict[Name, Annotated[str, Field(pattern=TAP)]] = Field(
        {},
        description="Further outputs: name → path of a module in the model, whose output it is; "
        "`PATH@input` is its input.",
    )
    carry: dict[Name, Name] = Field(
        {},
        description="Inputs that are outputs of the batch before: input → output.",
    )
    optimizer_name: NameOrNames | None = Field(
        None,
        description="What trains its model; a list where several optimizers have parameters of it. "
        "Left out: this node is not changed by the pipelines of this graph.",
    )
    name: Name | None = Field(None, description="Left out: the name of the model.")
    mode: Literal["eval"] | None = Field(
        None,
        description="`eval`: its model runs in eval mode in training too, as a teacher does; left "
        "out: in train mode there.",
    )
    buffers: Literal["keep", "move"] | None = Field(
        None,
        description="Whether running statistics and other buffers of its model move in training; "
        "left out: `move` where this graph trains the model, else `keep`.",
    )
    compile: Compile = Field(False, description="`torch.compile` for its model: true, or a mode.")
    activation_checkpointing: bool = Field(
        False,
        description="Whether activations are recomputed in the backward pass instead of kept: less "
        "memory, more time, the same results.",
    )

    @property
    def node_name(self) -> str:
        """The node's own name."""
        return self.name or self.model_name

    @property
    def optimizers(self) -> list[tuple[Path, str]]:
        """The names of its optimizers, each with where it stands in here."""
        if isinstance(self.optimizer_name, list):
            return [(("optimizer_name", i), name) for i, name in enumerate(self.optimizer_name)]
        return [] if self.optimizer_name is None else [(("optimizer_name",), self.optimizer_name)]

    @property
    def input_names(self) -> list[str]:
        """The names of its inputs, however they are given."""
        return list(self.inputs.values()) if isinstance(self.inputs, dict) else self.inputs

    @property
    def output_names(self) -> list[str]:
        """The names of all that it gives."""
        return [*self.returned_names, *self.taps]

    @property
    def returned_names(self) -> list[str]:
        """The names of what its model returns, without the taps."""
        return list(self.outputs.values()) if isinstance(self.outputs, dict) else self.outputs


class BatchProcessorSpec(ObjectSpec):
    """An input adapter, an ordered neural graph and an output adapter; or an object."""

    class_: Name | None = Field(None, alias="class", description="A callable: frame to frame.")

    input_adapter: Annotated[ObjectSpec | None, INPUT_ADAPTER] = Field(
        None,
        description="Frame to inputs of nodes; left out: they are looked up by name in the frame.",
    )
    neural_graph: list[NodeSpec] | None = Field(
        None,
        description="Nodes in the order in which they run; the list may be empty.",
    )
    output_adapter: Annotated[ObjectSpec | None, OUTPUT_ADAPTER] = Field(
        None, description="Frame to frame; left out: the frame stays as it is."
    )
    device: Device | None = Field(None, description="Left out: the `device` of the config.")
    compile: Compile = Field(False, description="`torch.compile` for its nodes, all as one.")

    @property
    def is_object(self) -> bool:
        """Whether the processor is the user's own object."""
        return self.neural_graph is None


def _references(spec: BatchProcessorSpec) -> Iterator[Reference]:
    for index, node in enumerate(spec.neural_graph or []):
        yield Reference(("neural_graph", index, "model_name"), "models", node.model_name)
        for path, name in node.optimizers:
            yield Reference(("neural_graph", index, *path), "optimizers", name)


_OF_NODES = {
    "inputs": "they decide what is computed",
    "outputs": "they decide what is computed",
    "taps": "they decide what is computed",
    "carry": "it decides what a batch begins with",
    "mode": "it decides how a model runs in training",
    "buffers": "it decides which statistics move",
    "optimizer_name": "it decides what is trained",
}

BATCH_PROCESSORS = Group(
    "batch_processors",
    "batch processor",
    BatchProcessorSpec,
    section="batch_processors",
    references=_references,
    role=Role(
        "batch_processors",
        "batch processor (it cannot be called)",
        ("torchassistant.batch_processors",),
        methods=CALLABLE,
        kind=BATCH_PROCESSOR,
        other_kinds=(ADAPTER, MODULE),
        holds=(ADAPTER, BATCH_PROCESSOR),
        or_itself=True,
    ),
    state="results",
    held=lambda spec: ("",) if spec.is_object else (),
    changes=(
        Rule("spec.neural_graph.*.compile.**", "applied", "compiled code rounds differently"),
        Rule("spec.compile.**", "applied", "compiled code rounds differently"),
        Rule("spec.neural_graph.*.activation_checkpointing", "free", "speed and memory only"),
        *(Rule(f"spec.neural_graph.*.{key}.**", "refused", why) for key, why in _OF_NODES.items()),
    ),
)
