"""Batch processors: neural graphs between adapters, or objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.compute_options import MEMORY_FORMATS, compiling_of
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.parts import Parts
from torchassistant.config import NodeSpec, Path, is_average, origin_of
from torchassistant.errors import near
from torchassistant.graph import (
    Calling,
    Carry,
    NeuralProcessor,
    Node,
    ObjectProcessor,
    Place,
    Processor,
    Tap,
)


def _build(context: BuildContext, one: Defined) -> Processor:
    device = context.devices.processors[one.name]
    if one.spec.is_object:
        function = context.callable_of(one.spec, one.path, one.what, "batch_processors")
        if isinstance(function, nn.Module):
            function.to(device)
        return ObjectProcessor(one.name, function)
    input_adapter = _adapter(context, one, "input_adapter")
    output_adapter = _adapter(context, one, "output_adapter")
    return NeuralProcessor(
        one.name,
        [
            node_of(context, one.name, node, (*one.path, "neural_graph", index))
            for index, node in enumerate(one.spec.neural_graph)
        ],
        input_adapter,
        output_adapter,
        device if context.devices.moves else None,
        compiling_of(one.spec.compile),
    )


def _adapter(context: BuildContext, one: Defined, key: str) -> Callable[..., Any] | None:
    spec = getattr(one.spec, key)
    if spec is None:
        return None
    what = f"the {key.replace('_', ' ')} of {one.what}"
    return context.callable_of(spec, (*one.path, key), what, key)


def node_of(context: BuildContext, processor: str, node: NodeSpec, path: Path) -> Node:
    """A node of a neural graph of a processor, which stands at a path of the config."""
    parts = context.parts
    _expect_taps(context, node, path)
    return Node(
        node.node_name,
        parts.models[node.model_name],
        tuple(node.input_names),
        tuple(node.output_names),
        tuple(parts.optimizers[name] for _, name in node.optimizers),
        _calling(context, processor, node),
        [Carry(name, output) for name, output in node.carry.items()],
    )


def _expect_taps(context: BuildContext, node: NodeSpec, path: Path) -> None:
    """Expect the modules that are tapped to be there.

    Raises:
        ConfigError: One is not.
    """
    model = context.parts.models[node.model_name]
    paths = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    for tap in _taps(node):
        if tap.path not in paths:
            message = f'the model "{node.model_name}" has no module "{tap.path}"'
            message += near(tap.path, paths)
            raise context.maker.problem(message, (*path, "taps", tap.name))


def _taps(node: NodeSpec) -> list[Tap]:
    return [Tap(name, written) for name, written in node.taps.items()]


def _calling(context: BuildContext, processor: str, node: NodeSpec) -> Calling:
    """How the model of a node is called."""
    compiling = compiling_of(node.compile)
    models = context.spec.group("models")
    memory_format = models[origin_of(node.model_name, models)].memory_format
    return Calling(
        forward=None if compiling is None else compiling(context.parts.models[node.model_name]),
        checkpoints=node.activation_checkpointing,
        in_eval_mode=node.mode == "eval",
        keeps_buffers=None if node.buffers is None else node.buffers == "keep",
        without_gradient=is_average(node.model_name, models),
        memory_format=MEMORY_FORMATS[memory_format] if memory_format else None,
        parameters=tuple(node.inputs) if isinstance(node.inputs, dict) else None,
        keys=tuple(node.outputs) if isinstance(node.outputs, dict) else None,
        outputs=tuple(node.returned_names),
        taps=_taps(node),
        place=Place(processor, node.node_name),
    )


def _members(parts: Parts, name: str) -> Iterator[Member]:
    processor, id = parts.batch_processors[name], f"batch_processors/{name}"
    if not isinstance(processor, NeuralProcessor):
        yield Member(id, processor.parts[0])
        return
    models = [node.model for node in processor.nodes]
    for place in ("input_adapter", "output_adapter"):
        adapter = getattr(processor, place)
        if adapter is not None and not any(adapter is model for model in models):
            yield Member(f"{id}/{place}", adapter)


BATCH_PROCESSORS = Assembler(_build, _members)
