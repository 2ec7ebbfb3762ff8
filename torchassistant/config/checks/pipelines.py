"""Pipelines: what feeds their ports, and what their losses and metrics are computed from."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from typing import NamedTuple

from torchassistant.config.checks.scope import PIPELINES, Scope
from torchassistant.config.spec import (
    BatchGraphSpec,
    DebugPipelineSpec,
    InputFactorySpec,
    PipelineLossSpec,
    PipelineMetricSpec,
    PipelineSpec,
)
from torchassistant.config.tree import Path
from torchassistant.errors import listing, near

RESERVED = ("epoch", "step", "seconds", "stage")
"""Columns of the history that are always there."""


class Kind(NamedTuple):
    """The keys under which a pipeline speaks of its losses or of its metrics."""

    group: str
    name_key: str
    display_key: str


LOSS = Kind("losses", "loss_name", "loss_display_name")
METRIC = Kind("metrics", "metric_name", "display_name")


def scores(
    pipeline: PipelineSpec,
) -> Iterator[tuple[Kind, int, PipelineLossSpec | PipelineMetricSpec]]:
    """The losses and the metrics of a pipeline, each with its index in its list."""
    for index, loss in enumerate(pipeline.losses):
        yield LOSS, index, loss
    for index, metric in enumerate(pipeline.metrics):
        yield METRIC, index, metric


def check_pipelines(scope: Scope, used: Collection[str] | None) -> None:
    """Check the pipelines that are to be run; all, where that is not said."""
    initialize = scope.spec.initialize
    for name, pipeline in initialize.pipelines.items():
        if used is None or name in used:
            check_pipeline(scope, pipeline, (*PIPELINES, name))
    for name, debug in initialize.debug_pipelines.items():
        if used is None:
            check_pipeline(scope, debug, ("initialize", "debug_pipelines", name))


def check_pipeline(scope: Scope, pipeline: PipelineSpec | DebugPipelineSpec, path: Path) -> None:
    """Check one pipeline."""
    for index, item in enumerate(pipeline.input_factories):
        here: Path = (*path, "input_factories", index)
        scope.reference("loader_factories", item.loader_factory, (*here, "loader_factory"))
        names = item.variable_names or []
        for position, column in enumerate(names):
            if names.index(column) < position:
                message = f'the column "{column}" is named twice'
                scope.note(message, (*here, "variable_names", position))
    graph = scope.graph(pipeline)
    if pipeline.graph is None:
        if scope.findings.is_whole(("initialize", "definitions")):
            scope.note(_which_graph(scope), path)
    elif graph is None:
        scope.reference("batch_graphs", pipeline.graph, (*path, "graph"))
    else:
        _ports(scope, pipeline, graph, path)
    if isinstance(pipeline, PipelineSpec) and scope.scored:
        _scores(scope, pipeline, graph, path)


def _which_graph(scope: Scope) -> str:
    graphs = scope.names_of("batch_graphs")
    if graphs:
        return f'"graph" is needed, as there are several: {listing(graphs)}'
    processors = scope.names_of("batch_processors")
    if processors:
        return f"a batch graph is needed, as there are several processors: {listing(processors)}"
    models = scope.names_of("models")
    found = listing(models) if models else "none"
    return f"a batch processor can be filled in for one model; the models are {found}"


def _ports(
    scope: Scope, pipeline: PipelineSpec | DebugPipelineSpec, graph: BatchGraphSpec, path: Path
) -> None:
    items: list[InputFactorySpec] = pipeline.input_factories
    at = scope.at("batch_graphs", pipeline.graph)
    if not scope.findings.is_whole((*at, "spec", "input_aliases")):
        return
    fed: set[str] = set()
    for index, item in enumerate(items):
        here: Path = (*path, "input_factories", index)
        if item.input_alias is None:
            message = f'"input_alias" is needed; the ports are {listing(graph.input_aliases)}'
            scope.note(message, here)
        elif item.input_alias not in graph.input_aliases:
            known = near(item.input_alias, graph.input_aliases)
            message = f'the graph has no port "{item.input_alias}"{known}'
            scope.note(message, (*here, "input_alias"))
        elif item.input_alias in fed:
            scope.note(f'the port "{item.input_alias}" is fed twice', (*here, "input_alias"))
        fed.add(item.input_alias or "")
    used = {source for sources in graph.ingoing_edges.values() for source in sources}
    if fed <= set(graph.input_aliases) and scope.findings.is_whole((*path, "input_factories")):
        for port in graph.input_aliases:
            if port not in fed and port in used:
                message = f'nothing feeds the port "{port}" of the graph'
                scope.note(message, (*path, "input_factories"))


def _scores(scope: Scope, pipeline: PipelineSpec, graph: BatchGraphSpec | None, path: Path) -> None:
    shown: set[str] = set()
    at = scope.at("batch_graphs", pipeline.graph)
    nodes = graph.nodes if graph and scope.findings.is_whole((*at, "spec", "nodes")) else None
    for kind, index, score in scores(pipeline):
        here: Path = (*path, kind.group, index)
        display = (*here, kind.display_key)
        scope.reference(kind.group, getattr(score, kind.name_key), (*here, kind.name_key))
        name = score.shown_as
        if name in shown:
            scope.note(f'"{name}" is shown twice by this pipeline', display)
        shown.add(name)
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            scope.note("a display name holds no control characters", display)
        if name in RESERVED:
            scope.note(f'"{name}" is a column of the history already', display)
        if nodes is None:
            continue
        if score.node_name is None:
            scope.note(f'"node_name" is needed; the graph has {listing(nodes)}', here)
        elif score.node_name not in nodes:
            message = f'the graph has no node "{score.node_name}"{near(score.node_name, nodes)}'
            scope.note(message, (*here, "node_name"))
