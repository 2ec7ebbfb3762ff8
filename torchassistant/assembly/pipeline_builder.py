"""Pipelines and stages, from definitions that are built already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from torchassistant.assembly.builder import Builder
from torchassistant.assembly.callback_columns import learn_columns, with_columns
from torchassistant.assembly.compute_options import compiling_of, precision_of
from torchassistant.assembly.frozen import frozen_in
from torchassistant.assembly.models_of_losses import with_models
from torchassistant.assembly.monitored_modes import set_mode_of_condition, set_modes_of_best
from torchassistant.assembly.schedulers import build_waiting, expect_lengths_of_resets
from torchassistant.assembly.stage_evaluators import evaluators_of
from torchassistant.assembly.substitution import graph_of, models_of
from torchassistant.config import (
    LOSSES,
    DebugPipelineSpec,
    InputFactorySpec,
    Key,
    ObjectSpec,
    Path,
    PipelineLossSpec,
    PipelineSpec,
    Spec,
    StageSpec,
    owner_of,
    unread_columns,
)
from torchassistant.data import LoaderFactory
from torchassistant.errors import blaming
from torchassistant.graph import BatchGraph, Frozen, is_among
from torchassistant.output_devices import Printer
from torchassistant.training import (
    BeforeEpoch,
    DebugPipeline,
    FunctionBeforeEpoch,
    InputSource,
    LinkedInput,
    Pipeline,
    PipelineBeforeEpoch,
    PipelineLoss,
    PipelineMetric,
    Stage,
    StepLog,
    StepObject,
    Turn,
    ValidationPlan,
    WeightSchedule,
    is_by_closure,
    parameters_of,
    two_closures,
)


def wanted_by(
    spec: Spec, pipeline: PipelineSpec, with_data: bool = True, scored: bool = True
) -> Iterator[Key]:
    """The definitions that a pipeline names; without data, only what its graph needs.

    Names that are not defined are passed over: the check of the config reports them.
    """
    yield Key("batch_graphs", pipeline.graph or "")
    substitutes = list((pipeline.models or {}).values())
    yield from (Key("models", name) for name in substitutes)
    graph = spec.group("batch_graphs").get(pipeline.graph or "")
    processors = spec.group("batch_processors")
    models = {
        node.model_name
        for name in ([] if graph is None else graph.nodes)
        if name in processors
        for node in processors[name].neural_graph or []
    }
    losses = spec.group(LOSSES)
    is_scored = with_data and scored
    for item in pipeline.losses if is_scored else ():
        models.update(losses[item.loss_name].models if item.loss_name in losses else ())
    models.update(substitutes)
    yield from (Key("batch_graphs", name) for name in _graphs_of_statistics(spec, models))
    for name, hooks in spec.group("forward_hooks").items():
        if hooks.model in models:
            yield Key("forward_hooks", name)
    if with_data:
        factories = (item.loader_factory for item in pipeline.input_factories)
        yield from (Key("loader_factories", name) for name in factories if name is not None)
    if is_scored:
        yield from (Key("losses", item.loss_name) for item in pipeline.losses)
        yield from (Key("metrics", item.metric_name) for item in pipeline.metrics)


def _graphs_of_statistics(spec: Spec, models: Iterable[str]) -> Iterator[str]:
    """The graphs through which the statistics of averages among models are recomputed."""
    known = spec.group("models")
    for name in dict.fromkeys(owner_of(model, known) for model in models):
        if name in known and known[name].recomputes_statistics:
            pipeline = spec.initialize.pipelines.get(spec.statistics_pipeline(known[name]) or "")
            if pipeline is not None and pipeline.graph:
                yield pipeline.graph


def build_pipeline(
    builder: Builder,
    name: str,
    spec: PipelineSpec,
    with_data: bool = True,
    scored: bool = True,
) -> Pipeline:
    """One pipeline; without data it has a graph only, and can infer.

    Args:
        builder: Has built its parts.
        name: Of the pipeline.
        spec: Its block.
        with_data: Whether it gets its data.
        scored: Whether it gets its losses, its metrics, and steps of its own.
    """
    parts = builder.parts
    if not scored:
        spec = spec.model_copy(update=_UNSCORED)
    graph = graph_of(builder, spec)
    precision = precision_of(builder.spec.precision, builder.devices, graph)
    if not with_data:
        return Pipeline(name, graph, (), (), (), parts.seed, precision)
    moves = builder.devices.moves
    path: Path = ("initialize", "pipelines", name)

    def device_of(node: str | None) -> Any:
        return builder.devices.processors[node or ""] if moves else None

    scores = [parts.loss_calls[item.loss_name] for item in spec.losses]
    measured = [parts.metrics[item.metric_name] for item in spec.metrics]
    objects = [part for one in (*scores, *measured) for part in (one.function, one.transform)]
    steps = _steps(builder, spec, path)
    objects += (step.function if isinstance(step, StepObject) else step for step in steps.values())
    pipeline = Pipeline(
        name,
        graph,
        inputs_of(builder, spec.input_factories, graph, path),
        with_models(
            [
                _loss(builder, spec, index, device_of(item.node_name), path)
                for index, item in enumerate(spec.losses)
            ],
            [builder.spec.group(LOSSES)[item.loss_name] for item in spec.losses],
            graph,
            models_of(builder, spec),
            parts,
        ),
        [
            PipelineMetric(
                item.shown_as,
                item.node_name or "",
                parts.metrics[item.metric_name].on(device_of(item.node_name)),
            )
            for item in spec.metrics
        ],
        parts.seed,
        precision,
        precision.scaler(),
        compiling_of(spec.compile),
        spec.gradient_accumulation,
        builder.calls_of(objects),
        {id(optimizer): name for name, optimizer in parts.optimizers.items()},
        spec.normalize_weights and spec.schedules_weights,
        {id(parts.optimizers[name]): left_out for name, left_out in parts.untrained.items()},
        links=_links(builder, spec.input_factories, graph),
        pipelines=parts.pipelines,
        **steps,
    )
    used = pipeline.modules
    models = {name: model for name, model in parts.models.items() if is_among(model, used)}
    return replace(pipeline, models=models)


_UNSCORED: dict[str, Any] = {
    "losses": [],
    "metrics": [],
    **dict.fromkeys(("combine", "train_step", "eval_step")),
}
"""What a pipeline says that only predicts."""


def _steps(builder: Builder, spec: PipelineSpec, path: Path) -> dict[str, Any]:
    """The objects of a pipeline that are called in place of a part of its steps."""
    found = {"combine": spec.combine, "train_step": spec.train_step, "eval_step": spec.eval_step}
    steps = {
        key: builder.maker.make(own, (*path, key), f'"{key}" of the pipeline "{path[-1]}"', key)
        for key, own in found.items()
        if own is not None
    }
    losses = {"train_step": spec.trained_losses, "eval_step": spec.evaluated_losses}
    for key in losses.keys() & steps.keys():
        steps[key] = StepObject(steps[key], tuple(losses[key]))
    return steps


def _loss(
    builder: Builder, pipeline: PipelineSpec, index: int, device: Any, path: Path
) -> PipelineLoss:
    """A loss of the pipeline at ``path``, with what trains it."""
    spec, path = pipeline.losses[index], (*path, "losses", index)
    parts, name = builder.parts, spec.loss_name
    loss = parts.loss_calls[name].on(device)
    own = [
        parts.optimizers[key]
        for key, optimizer in builder.spec.group("optimizers").items()
        if optimizer.trains(Key(LOSSES, name)) and key in parts.optimizers
    ]
    if own and loss.function is not parts.losses[name]:
        message = f'the loss "{name}" is trained, and would be on two devices'
        raise builder.maker.problem(message, path)
    optimizer = own[0] if own else None
    weight = pipeline.loss_weights[index]
    schedule = _schedule(builder, spec, (*path, "weight"))
    return PipelineLoss(spec.shown_as, spec.node_name or "", loss, weight, optimizer, schedule)


def _schedule(builder: Builder, spec: PipelineLossSpec, path: Path) -> WeightSchedule | None:
    if not isinstance(spec.weight, ObjectSpec):
        return None
    what = f'the weight of the loss "{spec.shown_as}"'
    function = builder.maker.make(spec.weight, path, what, "weight")
    return WeightSchedule(function, builder.maker.place_of(path))


def build_pipelines(builder: Builder) -> None:
    """Every pipeline and debug pipeline of the config."""
    initialize = builder.spec.initialize
    for name, spec in initialize.pipelines.items():
        builder.parts.pipelines[name] = build_pipeline(builder, name, spec)
    for name, debug in initialize.debug_pipelines.items():
        path: Path = ("initialize", "debug_pipelines", name)
        builder.parts.debug_pipelines[name] = _debug(builder, name, debug, path)


def build_stages(builder: Builder) -> None:
    """Every stage of the config, over pipelines that are built."""
    if builder.spec.log is not None:
        builder.parts.step_log = StepLog(builder.spec.log.every_iterations)
    learn_columns(builder)
    builder.parts.stages = [
        _stage(builder, spec, ("train", "stages", index), index)
        for index, spec in enumerate(builder.spec.train.stages)
    ]
    set_modes_of_best(builder)
    optimizers = builder.defined("optimizers")
    build_waiting(builder, optimizers)
    expect_lengths_of_resets(builder, optimizers)
    for stage in builder.parts.stages:
        for pipeline in stage.training:
            _one_closure(builder, pipeline)
    _expect_trained(builder)


def _expect_trained(builder: Builder) -> None:
    """See that averages are of models that are trained.

    Raises:
        ConfigError: One is not, and would never change.
    """
    training = [pipeline for stage in builder.parts.stages for pipeline in stage.training]
    optimizers = [optimizer for pipeline in training for optimizer in pipeline.optimizers]
    for name, average in builder.parts.averages.items():
        if not average.is_trained_by(optimizers):
            key = Key("models", name)
            source = builder.definitions[key].spec.average_of
            message = f'no stage trains the model "{source}", so that its average never changes'
            raise builder.maker.problem(message, (*builder.paths[key], "average_of"))


def _held_once(builder: Builder, pipeline: Pipeline, path: Path) -> None:
    """No parameter is in two optimizers of a pipeline that is trained.

    Raises:
        ConfigError: One is.
    """
    owner: dict[int, str] = {}
    for optimizer in pipeline.optimizers:
        name = pipeline.optimizer_names[id(optimizer)]
        for parameter in parameters_of([optimizer]):
            first = owner.setdefault(id(parameter), name)
            if first != name:
                message = (
                    f'the optimizers "{first}" and "{name}" of the pipeline "{pipeline.name}" both '
                    f"have {_name_of(builder, parameter)}; one optimizer trains a parameter"
                )
                raise builder.maker.problem(message, path)


def _name_of(builder: Builder, parameter: Any) -> str:
    """A parameter, as ``"net:layer1.weight"``."""
    named = (
        f'"{model}:{path}"'
        for model, module in builder.parts.models.items()
        for path, own in module.named_parameters(remove_duplicate=False)
        if own is parameter
    )
    return next(named, "a parameter of a loss")


def inputs_of(
    builder: Builder, specs: list[InputFactorySpec], graph: BatchGraph, path: Path
) -> list[InputSource]:
    """What feeds the ports of the graph of a pipeline, which stands at a path."""
    dropped = unread_columns(builder.spec)
    inputs = []
    for index, spec in enumerate(specs):
        if spec.loader_factory is None:
            continue
        factory = builder.parts.loader_factories[spec.loader_factory]
        restarts = spec.when_exhausted == "restart"
        if restarts and not factory.can_restart:
            place = (*path, "input_factories", index, "when_exhausted")
            raise builder.maker.problem(f"{_stream(factory)} cannot begin anew", place)
        columns = tuple(spec.columns) if spec.columns else None
        port = spec.input_alias or graph.ports[0]
        inputs.append(InputSource(port, factory, columns, dropped, restarts))
    return inputs


def _links(builder: Builder, specs: list[InputFactorySpec], graph: BatchGraph) -> list[LinkedInput]:
    dropped = unread_columns(builder.spec)
    return [
        LinkedInput(
            spec.input_alias or graph.ports[0],
            spec.from_pipeline,
            spec.node,
            spec.renames,
            dropped,
        )
        for spec in specs
        if spec.from_pipeline is not None
    ]


def _stream(factory: LoaderFactory) -> str:
    return f'the stream "{factory.dataset_name}", which has no state_dict and load_state_dict,'


def _debug(builder: Builder, name: str, spec: DebugPipelineSpec, path: Path) -> DebugPipeline:
    parts, maker = builder.parts, builder.maker
    graph = graph_of(builder, spec)
    postprocessor: Any = None
    device: Any = None if spec.log else Printer()
    if spec.postprocessor:
        what = f'the postprocessor of "{name}"'
        postprocessor = maker.make(
            spec.postprocessor, (*path, "postprocessor"), what, "postprocessor"
        )
    if spec.output_device:
        here, what = (*path, "output_device"), f'the output device of "{name}"'
        device = maker.make(spec.output_device, here, what, "output_device")
    return DebugPipeline(
        name,
        graph,
        inputs_of(builder, spec.input_factories, graph, path),
        spec.num_iterations,
        spec.interval,
        spec.output_keys,
        postprocessor,
        device,
        parts.seed,
        precision_of(builder.spec.precision, builder.devices, graph),
        spec.log,
    )


def _one_closure(builder: Builder, pipeline: Pipeline) -> None:
    """See that no two optimizers of a pipeline need a closure."""
    asking = [o for o in pipeline.optimizers if is_by_closure(o)]
    if len(asking) > 1:
        one, other = (pipeline.optimizer_names[id(optimizer)] for optimizer in asking[:2])
        path: Path = ("initialize", "pipelines", pipeline.name)
        raise builder.maker.problem(two_closures(one, other), path)


def _before_epoch(builder: Builder, name: str, path: Path) -> BeforeEpoch:
    """What a name means in ``run_before_epoch``: a callback, or else a pipeline."""
    parts = builder.parts
    if name not in parts.callbacks:
        return PipelineBeforeEpoch(parts.pipelines[name])
    function = parts.callbacks[name]
    if not callable(function):
        message = (
            f'"{name}" cannot be called with the session and the epoch; name it in "callbacks"'
        )
        raise builder.maker.problem(message, path)
    return FunctionBeforeEpoch(name, function, parts, parts.seed)


def _stage(builder: Builder, spec: StageSpec, path: Path, index: int) -> Stage:
    parts = builder.parts
    what = f"the stop condition of {builder.spec.stage_title(index)}"
    here = (*path, "stop_condition")
    condition = builder.maker.make(spec.stop_condition, here, what, "stop_condition")
    names = (*spec.trained_pipelines, *spec.validation_pipelines)
    with blaming(what):
        set_mode_of_condition(builder, condition, dict.fromkeys(names))
    for place, name in enumerate(spec.trained_pipelines):
        _held_once(builder, parts.pipelines[name], (*path, "training_pipelines", place))
    steps, frozen = spec.eval_steps, frozen_in(builder, spec, path)
    stage = Stage(
        training=[_freezing(parts.pipelines[name], frozen) for name in spec.trained_pipelines],
        validation=[parts.pipelines[name] for name in spec.validation_pipelines],
        debug=[
            parts.debug_pipelines[item]
            if isinstance(item, str)
            else _debug(builder, f"debug {i}", item, (*path, "debug_pipelines", i))
            for i, item in enumerate(spec.debug_pipelines)
        ],
        stop_condition=condition,
        eval_steps=steps
        if isinstance(steps, dict)
        else dict.fromkeys(spec.validation_pipelines, steps),
        order=list(parts.pipelines),
        clippers=list(parts.gradient_clippers.values()),
        schedulers=list(parts.schedulers.values()),
        averages=[
            average
            for average in parts.averages.values()
            if not frozen.holds_all_of([*average.model.parameters()])
        ],
        measures=spec.measure_training,
        validates=ValidationPlan(
            spec.validate_.every_epochs, spec.validate_.every_iterations, spec.validate_.at_start
        ),
        skips_nonfinite=(spec.on_nonfinite or builder.spec.on_nonfinite) == "skip",
        turns=_turns(builder, spec, path),
        epoch_length=spec.epoch_length,
        frozen=frozen,
        evaluators=evaluators_of(builder, spec.evaluators, (*path, "evaluators")),
        before_epoch=[
            _before_epoch(builder, name, (*path, "run_before_epoch", place))
            for place, name in enumerate(spec.run_before_epoch)
        ],
        log=parts.step_log,
    )
    return with_columns(builder, stage, path, index)


def _freezing(pipeline: Pipeline, frozen: Frozen) -> Pipeline:
    """A pipeline as a stage trains it."""
    if not frozen:
        return pipeline
    losses = [replace(item, loss=item.loss.freezing(frozen)) for item in pipeline.losses]
    return replace(pipeline, graph=pipeline.graph.freezing(frozen), losses=losses)


def _turns(builder: Builder, spec: StageSpec, path: Path) -> list[Turn]:
    """When each training pipeline of a stage runs.

    Without a word about it, a pass that goes on over epochs of a number of iterations restarts
    where its data can: streams are often endless, and keep no state.
    """
    turns = []
    for index, entry in enumerate(spec.entries):
        stream = _stream_without_state(builder.parts.pipelines[entry.pipeline])
        if stream is not None and entry.when_exhausted == "restart":
            raise builder.maker.problem(
                f'{_stream(stream)} cannot begin anew; "when_exhausted": "wait" lets the pipeline '
                "sit out",
                (*path, "training_pipelines", index),
            )
        default = "restart" if isinstance(spec.epoch_length, int) and stream is None else "wait"
        turns.append(
            Turn(
                entry.repeat,
                entry.every,
                entry.from_,
                entry.count_in == "epoch",
                (entry.when_exhausted or default) == "restart",
            )
        )
    return turns


def _stream_without_state(pipeline: Pipeline) -> LoaderFactory | None:
    """A stream of a pipeline that cannot begin anew within an epoch."""
    factories = (source.factory for source in pipeline.inputs)
    return next((factory for factory in factories if not factory.can_restart), None)
