"""Fills in what a config may leave out, where there is only one choice.

Nothing is guessed here: where several things fit, nothing is filled in, and the check reports it.
"""

from __future__ import annotations

from torchassistant.config.blocks import ObjectSpec
from torchassistant.config.groups.batch_graphs import BatchGraphSpec
from torchassistant.config.groups.batch_processors import BatchProcessorSpec, NodeSpec
from torchassistant.config.groups.models import own_models
from torchassistant.config.references import Key
from torchassistant.config.spec import (
    DEFINITIONS,
    DebugPipelineSpec,
    PipelineSpec,
    Spec,
    StageSpec,
    TrainSpec,
)

AnyPipeline = PipelineSpec | DebugPipelineSpec

DEFAULT_PROCESSOR = "default_processor"
DEFAULT_GRAPH = "default_graph"
DEFAULT_PORT = "input"
FIRST_COLUMN = "input_1"
PREDICTION = "y_hat"
NUM_EPOCHS = 20
PATIENCE = 5
MIN_DELTA = 0.001


def fill_defaults(spec: Spec) -> None:
    """Fill in what a spec leaves out, in place."""
    for pipeline in spec.initialize.pipelines.values():
        _write_display_names(pipeline)
    _add_processor(spec)
    for processor in spec.group("batch_processors").values():
        for node in processor.neural_graph or []:
            node.name = node.node_name
    for graph in spec.group("batch_graphs").values():
        _complete_graph(graph)
    for one in pipelines_of(spec):
        _choose_graph(spec, one)
    graphs = spec.group("batch_graphs")
    for one in pipelines_of(spec):
        if one.graph in graphs:
            _complete_pipeline(one, graphs[one.graph])
    _complete_stages(spec)


def pipelines_of(spec: Spec) -> list[AnyPipeline]:
    """All pipelines, those that look too, and those of stages."""
    return [
        *spec.initialize.pipelines.values(),
        *spec.initialize.debug_pipelines.values(),
        *(
            p
            for stage in spec.train.stages
            for p in stage.debug_pipelines
            if not isinstance(p, str)
        ),
    ]


def _write_display_names(pipeline: PipelineSpec) -> None:
    prefix, pipeline.display_prefix = pipeline.display_prefix, None
    for loss in pipeline.losses if prefix else ():
        loss.loss_display_name = f"{prefix}{loss.shown_as}"
    for metric in pipeline.metrics if prefix else ():
        metric.display_name = f"{prefix}{metric.shown_as}"


def _add_processor(spec: Spec) -> None:
    """One model and no processor: a processor that runs the model on the first column."""
    models, optimizers = own_models(spec.group("models")), spec.group("optimizers")
    if spec.group("batch_processors") or spec.group("batch_graphs") or len(models) != 1:
        return
    (model,) = models
    fitting = [name for name, one in optimizers.items() if one.trains(Key("models", model))]
    pipelines = spec.initialize.pipelines
    if not pipelines:
        return
    first = next(iter(pipelines.values())).input_factories[0]
    column = next((name for name in first.columns or () if name != "_"), FIRST_COLUMN)
    node = NodeSpec(
        model_name=model,
        inputs=[column],
        outputs=[PREDICTION],
        optimizer_name=fitting[0] if len(fitting) == 1 else None,
    )
    processor = BatchProcessorSpec(neural_graph=[node])
    spec.initialize.definitions.append(
        DEFINITIONS["batch_processors"](
            group="batch_processors", name=DEFAULT_PROCESSOR, spec=processor
        )
    )


def _complete_graph(graph: BatchGraphSpec) -> None:
    if not graph.input_aliases:
        sources = [s for feeders in graph.ingoing_edges.values() for s in feeders]
        outside = dict.fromkeys(s for s in sources if s not in graph.nodes)
        graph.input_aliases = list(outside) or [DEFAULT_PORT]
    if not graph.ingoing_edges and len(graph.nodes) == 1:
        graph.ingoing_edges = {graph.nodes[0]: list(graph.input_aliases)}


def _choose_graph(spec: Spec, pipeline: AnyPipeline) -> None:
    """The only graph; or, where none is defined, a graph of the only processor."""
    if pipeline.graph is not None:
        return
    graphs = spec.group("batch_graphs")
    written = [name for name in graphs if not name.startswith(DEFAULT_GRAPH)]
    if written:
        if len(graphs) == 1:
            pipeline.graph = written[0]
        return
    processors = list(spec.group("batch_processors"))
    if len(processors) != 1:
        return
    ports = [item.input_alias or DEFAULT_PORT for item in pipeline.input_factories]
    for name, graph in graphs.items():
        if graph.input_aliases == ports:
            pipeline.graph = name
            return
    pipeline.graph = DEFAULT_GRAPH if not graphs else f"{DEFAULT_GRAPH}_{len(graphs) + 1}"
    made = BatchGraphSpec(
        nodes=processors, input_aliases=ports, ingoing_edges={processors[0]: ports}
    )
    spec.initialize.definitions.append(
        DEFINITIONS["batch_graphs"](group="batch_graphs", name=pipeline.graph, spec=made)
    )


def _complete_pipeline(pipeline: AnyPipeline, graph: BatchGraphSpec) -> None:
    if len(graph.input_aliases) == 1 and len(pipeline.input_factories) == 1:
        item = pipeline.input_factories[0]
        item.input_alias = item.input_alias or graph.input_aliases[0]
    if isinstance(pipeline, PipelineSpec):
        only = graph.nodes[0] if len(graph.nodes) == 1 else None
        for loss in pipeline.losses:
            loss.node_name = loss.node_name or only
            loss.loss_display_name = loss.shown_as
        for metric in pipeline.metrics:
            metric.node_name = metric.node_name or only
            metric.display_name = metric.shown_as


def _complete_stages(spec: Spec) -> None:
    """One stage, where there is no choice who trains; and an end for those that name none."""
    pipelines = list(spec.initialize.pipelines)
    if not spec.train.stages and 1 <= len(pipelines) <= 2:
        stage = StageSpec(training_pipelines=[*pipelines[:1]], validation_pipelines=pipelines[1:])
        spec.train = TrainSpec(stages=[stage], callbacks=spec.train.callbacks)
    for stage in spec.train.stages:
        if stage.stop_condition is None:
            stage.stop_condition = _stop_condition(spec, stage)


def _stop_condition(spec: Spec, stage: StageSpec) -> ObjectSpec:
    """Early stopping on the validation loss; where there is none, a number of epochs."""
    pipelines = spec.initialize.pipelines
    validated = stage.validation_pipelines if stage.validate_.is_at_ends else []
    for name in reversed(validated):
        if (
            name in pipelines
            and name not in stage.trained_pipelines
            and pipelines[name].evaluated_losses
        ):
            monitor = pipelines[name].evaluated_losses[0]
            kwargs = {"monitor": monitor, "min_delta": MIN_DELTA, "patience": PATIENCE}
            return ObjectSpec(class_="EarlyStopping", kwargs=kwargs)
    return ObjectSpec(class_="EpochsCompleted", kwargs={"num_epochs": NUM_EPOCHS})
