"""Through what the batch norm statistics of averages are recomputed: a part of a pipeline."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.compute_options import precision_of
from torchassistant.assembly.groups.batch_processors import node_of
from torchassistant.assembly.pipeline_builder import inputs_of
from torchassistant.config import PIPELINES, Key, NodeSpec, reachable
from torchassistant.graph import BatchGraph, NeuralProcessor, Node, Processor
from torchassistant.training import Pipeline, StopCheck, batch_norms_of, recompute_statistics


def prepare_statistics(builder: Builder) -> None:
    """Say of each average that needs it how its statistics are recomputed.

    Raises:
        ConfigError: No training pipeline runs the model of one.
    """
    for name, average in builder.parts.averages.items():
        spec = builder.definitions[Key("models", name)].spec
        if not spec.recomputes_statistics or not batch_norms_of(average.model):
            continue
        pipeline = builder.spec.statistics_pipeline(spec)
        if pipeline is None:
            message = (
                f'no training pipeline runs "{spec.average_of}" in a node, so that the statistics '
                'of the batch norm layers cannot be recomputed; "update_bn": false leaves them'
            )
            path = (*builder.paths[Key("models", name)], "average_of")
            raise builder.maker.problem(message, path)
        average.recompute = partial(_recompute, builder, name, pipeline)


def _recompute(builder: Builder, name: str, pipeline: str, stop: StopCheck) -> None:
    """Recompute the statistics of an average; the data is built where it is not there yet."""
    spec = builder.spec.initialize.pipelines[pipeline]
    loaders = [item.loader_factory for item in spec.input_factories]
    builder.build([Key("loader_factories", name) for name in loaders if name is not None])
    recompute_statistics(builder.parts.models[name], _pipeline(builder, name, pipeline), stop)


def _pipeline(builder: Builder, average: str, name: str) -> Pipeline:
    """A pipeline with an average in the place of its model, as far as to its nodes."""
    parts, spec = builder.parts, builder.spec.initialize.pipelines[name]
    whole = parts.batch_graphs[spec.graph or ""]
    model = builder.definitions[Key("models", average)].spec.average_of
    last = [
        processor
        for processor in whole.processors
        if any(node.model_name == model for node in _nodes(builder, processor))
    ]
    sources = [source for one in last for source in reachable(one, whole.edges)]
    needed = {*last, *sources}
    processors = {
        key: _up_to(builder, processor, model, average, is_last=key not in sources)
        for key, processor in whole.processors.items()
        if key in needed
    }
    ports = [port for port in whole.ports if port in needed]
    edges = {key: whole.edges[key] for key in processors}
    called = builder.calls_of([part for one in processors.values() for part in one.parts])
    graph = BatchGraph(whole.name, processors, ports, edges, called)
    inputs = inputs_of(builder, spec.input_factories, whole, (*PIPELINES, name))
    return Pipeline(
        name,
        graph,
        [source for source in inputs if source.port in needed],
        (),
        (),
        parts.seed,
        precision_of(builder.spec.precision, builder.devices, graph),
    )


def _nodes(builder: Builder, processor: str) -> list[NodeSpec]:
    return builder.definitions[Key("batch_processors", processor)].spec.neural_graph or []


def _up_to(
    builder: Builder, processor: Processor, model: str, average: str, is_last: bool
) -> Processor:
    """A processor that trains nothing, with an average in the place of its model.

    Args:
        builder: Has built it.
        processor: Which one.
        model: The name of the model.
        average: The name of the average.
        is_last: Whether nothing is needed behind the nodes of the model.
    """
    if not isinstance(processor, NeuralProcessor):
        return processor
    specs = _nodes(builder, processor.name)
    path = (*builder.paths[Key("batch_processors", processor.name)], "neural_graph")
    nodes: list[Node] = []
    for index, (spec, node) in enumerate(zip(specs, processor.nodes, strict=True)):
        is_its = spec.model_name == model
        if is_its:
            own = {"name": spec.node_name, "model_name": average, "optimizer_name": None}
            other = spec.model_copy(update=own)
            node = node_of(builder, processor.name, other, (*path, index))
        calling = replace(node.calling, keeps_buffers=not is_its)
        nodes.append(replace(node, optimizers=(), calling=calling))
    copied = copy.copy(processor)
    if is_last:
        end = max(index for index, spec in enumerate(specs) if spec.model_name == model)
        nodes, copied.output_adapter = nodes[: end + 1], None
    copied.nodes = nodes
    return copied
