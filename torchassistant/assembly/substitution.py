"""Graphs in which models run in the place of others: the ``models`` of a pipeline."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.groups.batch_processors import node_of
from torchassistant.config import DebugPipelineSpec, Key, PipelineSpec
from torchassistant.graph import BatchGraph, NeuralProcessor, Processor, is_part_of_one

AnyPipeline = PipelineSpec | DebugPipelineSpec


def graph_of(builder: Builder, pipeline: AnyPipeline) -> BatchGraph:
    """The graph of a pipeline, with its models in the place of others."""
    graph = builder.parts.batch_graphs[pipeline.graph or ""]
    if pipeline.models:
        processors = {
            name: _substituted(builder, processor, pipeline.models)
            for name, processor in graph.processors.items()
        }
        objects = [part for processor in processors.values() for part in processor.parts]
        called = builder.calls_of(objects)
        graph = BatchGraph(graph.name, processors, graph.ports, graph.edges, called)
    graph.before_evaluation = [
        average.refresh
        for average in builder.parts.averages.values()
        if average.recompute is not None
        and any(is_part_of_one(node.model, [average.model]) for node in graph.nodes)
    ]
    return graph


def models_of(builder: Builder, pipeline: AnyPipeline) -> dict[str, nn.Module]:
    """What each model's name means in a pipeline: itself, or what runs in its place."""
    own = builder.parts.models
    return own | {other: own[name] for other, name in (pipeline.models or {}).items()}


def _substituted(builder: Builder, processor: Processor, models: Mapping[str, str]) -> Processor:
    """A processor with other models in its nodes; the same one where it runs none of theirs.

    What is trained is the model that a node was made for, so that the others have no optimizer.
    """
    key = Key("batch_processors", processor.name)
    graph = builder.definitions[key].spec.neural_graph or []
    replaced = [node.model_name for node in graph if node.model_name in models]
    if not isinstance(processor, NeuralProcessor) or not replaced:
        return processor
    nodes = []
    for index, (spec, node) in enumerate(zip(graph, processor.nodes, strict=True)):
        if spec.model_name in models:
            own = {"name": spec.node_name, "model_name": models[spec.model_name]}
            other = spec.model_copy(update={**own, "optimizer_name": None})
            path = (*builder.paths[key], "neural_graph", index)
            node = node_of(builder, processor.name, other, path)
        nodes.append(node)
    substituted = copy.copy(processor)
    substituted.nodes = nodes
    return substituted
