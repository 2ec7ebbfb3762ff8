"""One batch of every pipeline, before half an hour is spent on a run that cannot end well."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from torchassistant.config.references import Key
from torchassistant.config.tree import Path
from torchassistant.data import Injector
from torchassistant.data.generators import own_seeded
from torchassistant.data.randomness import derived, seeded
from torchassistant.errors import (
    ConfigError,
    NoColumn,
    Place,
    Problem,
    UserCodeError,
    UserError,
    is_from_users_code,
)
from torchassistant.graph import BatchGraph, Frames, Node, evaluating, kept
from torchassistant.session.session import Session
from torchassistant.training import DebugPipeline, InputSource, Pipeline, freezing
from torchassistant.training.forward import Forward
from torchassistant.training.inference import chosen
from torchassistant.training.pipeline import evaluation_data
from torchassistant.training.scoring import set_training


@dataclass(slots=True)
class NodeReport:
    """What one node did with a batch.

    Args:
        pipeline: The pipeline that it ran in.
        processor: Its batch processor.
        node: Its name.
        inputs: Each input as ``name (shape) dtype``.
        outputs: Likewise.
        parameters: How many numbers its model has to learn or to keep.
        optimizer: The name of what trains it here, if anything does.
        reached: Whether gradient came to its parameters; None where there was no backward pass.
    """

    pipeline: str
    processor: str
    node: str
    inputs: list[str]
    outputs: list[str]
    parameters: int
    optimizer: str | None
    reached: bool | None = None


@dataclass(slots=True)
class Preflight:
    """What a preflight saw.

    Args:
        nodes: Every node, as each pipeline ran it.
        batches: For each pipeline its batches an epoch; None where its data does not say.
        optimizers: How many parameters each trains.
        stages: For each stage the names of the models that it trains, and of those it freezes.
        warnings: What is allowed, and is probably not meant.
    """

    nodes: list[NodeReport] = field(default_factory=list)
    batches: dict[str, int | None] = field(default_factory=dict)
    optimizers: dict[str, int] = field(default_factory=dict)
    stages: list[tuple[list[str], list[str]]] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def preflight(session: Session) -> Preflight:
    """Run one batch of every pipeline as each stage would: forward, losses, metrics, backward.

    Nothing is stepped, and all state is put back: weights, buffers, gradients, random numbers.

    Raises:
        ConfigError: With a problem for each pipeline that cannot run, where it stands.
        UserCodeError: The user's code raised; it brings the problems.
    """
    flight = _Flight(session)
    modules = [*session.models.values()]
    for pipeline in session.pipelines.values():
        modules += pipeline.modules
    seed = derived(session.seed, "preflight")
    keepers = {
        f"{name} {key}": part
        for name, pipeline in session.pipelines.items()
        for key, part in pipeline.keepers.items()
    }
    with seeded(seed), own_seeded(keepers, seed), kept(modules):
        flight.run()
    if flight.raised:
        flight.raised[0].problems = flight.problems
        raise flight.raised[0]
    if flight.problems:
        raise ConfigError(*dict.fromkeys(flight.problems))
    return flight.report


class _Flight:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.report = Preflight()
        self.problems: list[Problem] = []
        self.raised: list[UserCodeError] = []
        self.at: Path = ()
        self.entering = ""
        self.fed: tuple[Injector, Frames] | None = None
        self.fed_at: Path = ()
        self.definitions = {
            Key(d.group, d.name): ("initialize", "definitions", index)
            for index, d in enumerate(session.spec.initialize.definitions)
        }

    def run(self) -> None:
        session = self.session
        run: set[str] = set()
        for stage in session.stages:
            with freezing(stage):
                for pipeline in stage.training:
                    self.train(pipeline)
            for pipeline in stage.validation:
                if pipeline.name not in run:
                    self.evaluate(pipeline)
            for debug in stage.debug:
                self.look(debug)
            run.update(p.name for p in (*stage.training, *stage.validation))
            self.report.stages.append((self.names(stage.trained), self.names(stage.frozen)))
        for pipeline in session.pipelines.values():
            if pipeline.name not in run:
                self.evaluate(pipeline)
        for name, optimizer in session.optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self.report.optimizers[name] = sum(p.numel() for p in parameters)

    def names(self, models: list[nn.Module]) -> list[str]:
        return [name for name, model in self.session.models.items() if model in models]

    # Pipelines

    def train(self, pipeline: Pipeline) -> None:
        whole = f'the pipeline "{pipeline.name}"'
        with self.blamed(pipeline, whole):
            set_training(pipeline.graph.modules)
            frames = self.batch(pipeline, Pipeline.training_data)
            reports: list[tuple[Node, NodeReport]] = []
            plan = pipeline.graph.for_training(self.watch(pipeline, reports))
            for _, parameter in self.parameters(pipeline):
                parameter.grad = None
            with pipeline.precision.forward():
                plan.run(frames)
                total = self.losses(pipeline, frames)
            if total is None:
                return
            self.at = ("initialize", "pipelines", pipeline.name, "losses")
            if not total.requires_grad:
                message = "the losses do not depend on anything that this pipeline trains"
                raise ConfigError(Problem(message, self.place()))
            try:
                total.backward()
            except UserError:
                raise
            except Exception as error:
                raise UserCodeError("the backward pass") from error
            if pipeline.compiling is not None:
                Forward(pipeline).losses_of({port: frames[port] for port in pipeline.graph.ports})
            for node, report in reports:
                report.reached = any(p.grad is not None for p in node.model.parameters())
                if node.optimizer is not None and not report.reached and report.parameters:
                    self.at = self.path_of_node(report.processor, report.node)
                    message = f'no gradient reaches the node "{report.node}", which is trained here'
                    self.report.warnings.append(Problem(message, self.place()))
            self.metrics(pipeline, frames)

    def evaluate(self, pipeline: Pipeline) -> None:
        whole = f'the evaluation of the pipeline "{pipeline.name}"'
        with self.blamed(pipeline, whole), evaluating(pipeline.modules):
            frames = self.batch(pipeline, Pipeline.evaluation_data)
            with pipeline.precision.forward():
                pipeline.graph.for_evaluation(self.watch(pipeline, [])).run(frames)
                self.losses(pipeline, frames)
            self.metrics(pipeline, frames)

    def look(self, debug: DebugPipeline) -> None:
        path: Path = ("initialize", "debug_pipelines", debug.name)
        self.at = path
        with self.problem_of(f'the debug pipeline "{debug.name}"'), evaluating(debug.graph.modules):
            inputs = [_in_process(source) for source in debug.inputs]
            data = evaluation_data(inputs, debug.seed)
            frames = next(data.frames(0), None)
            if frames is not None:
                self.fed, self.fed_at = (data, dict(frames)), (*path, "input_factories")
                self.at = (*path, "output_keys")
                with debug.precision.forward():
                    debug.graph.for_evaluation().run(frames)
                chosen(frames, debug.graph, debug.keys)

    def batch(self, pipeline: Pipeline, data_of: Callable[[Pipeline], Injector]) -> Frames:
        """The first frame of each port."""
        self.at = path = ("initialize", "pipelines", pipeline.name)
        self.fed, self.fed_at = None, (*path, "input_factories")
        inputs = [_in_process(source) for source in pipeline.inputs]
        data = data_of(replace(pipeline, inputs=inputs))
        self.report.batches[pipeline.name] = data.length()
        frames: Frames = {}
        for index, port in enumerate(data.ports):
            self.at = (*path, "input_factories", index)
            found = next(Injector([port]).frames(0), None)
            if found is None:
                message = f'the loader factory "{port.source}" gives no batch'
                raise ConfigError(Problem(message, self.place()))
            frames |= found
        self.fed = data, dict(frames)
        return frames

    def losses(self, pipeline: Pipeline, frames: Frames) -> torch.Tensor | None:
        total: torch.Tensor | None = None
        for index, item in enumerate(pipeline.losses):
            self.at = ("initialize", "pipelines", pipeline.name, "losses", index)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                value = item.loss(frames[item.node])
            for warning in caught:
                if "target size" in str(warning.message):
                    sentence = str(warning.message).splitlines()[0].split(". ")[0]
                    message = f"{item.loss.name} stretches one of its inputs: {sentence}"
                    raise ConfigError(Problem(message, self.place()))
            total = value * item.weight if total is None else total + value * item.weight
        return total

    def metrics(self, pipeline: Pipeline, frames: Frames) -> None:
        with torch.no_grad():
            for index, item in enumerate(pipeline.metrics):
                self.at = ("initialize", "pipelines", pipeline.name, "metrics", index)
                metric = item.metric.fresh()
                metric.update(frames[item.node])
                metric.result()

    def parameters(self, pipeline: Pipeline) -> Iterator[tuple[str, nn.Parameter]]:
        for module in pipeline.modules:
            yield from module.named_parameters()

    # Nodes

    def watch(
        self, pipeline: Pipeline, reports: list[tuple[Node, NodeReport]]
    ) -> Callable[[Node, Callable[..., object]], Callable[..., object]]:
        """Notes what goes into each node and what comes out, and where the run is."""
        homes = _homes(pipeline.graph)
        optimizers = {o: name for name, o in self.session.optimizers.items()}

        def watched(node: Node, call: Callable[..., object]) -> Callable[..., object]:
            processor = homes[id(node)]

            def run(*args: Any) -> object:
                self.at = self.path_of_node(processor, node.name)
                inputs = [_described(n, v) for n, v in zip(node.inputs, args, strict=True)]
                self.entering = f"; it was called with {', '.join(inputs)}" if inputs else ""
                result = call(*args)
                self.entering = ""
                made = list(result) if isinstance(result, (list, tuple)) else [result]
                report = NodeReport(
                    pipeline.name,
                    processor,
                    node.name,
                    inputs,
                    [_described(n, v) for n, v in zip(node.outputs, made, strict=False)],
                    sum(p.numel() for p in node.model.parameters()),
                    optimizers.get(node.optimizer) if node.optimizer else None,
                )
                reports.append((node, report))
                self.report.nodes.append(report)
                return result

            return run

        return watched

    def path_of_node(self, processor: str, node: str | None = None) -> Path:
        path: Path = (*self.definitions[Key("batch_processors", processor)], "spec")
        spec = self.session.spec.group("batch_processors")[processor]
        for index, item in enumerate(spec.neural_graph or []):
            if item.node_name == node:
                return (*path, "neural_graph", index)
        return path

    # Problems

    def place(self) -> Place:
        return self.session.builder.maker.place_of(self.at)

    @contextmanager
    def blamed(self, pipeline: Pipeline, whole: str) -> Iterator[None]:
        """What goes wrong in here is a problem of this pipeline; the others are run anyway."""
        self.at = ("initialize", "pipelines", pipeline.name)
        with self.problem_of(whole):
            yield

    @contextmanager
    def problem_of(self, whole: str) -> Iterator[None]:
        self.entering = ""
        try:
            with self.explained():
                yield
        except UserCodeError as error:
            cause = error.__cause__ or error
            if is_from_users_code(cause):
                raised = error.within(whole)
                raised.__cause__ = cause
                self.raised.append(raised)
                return
            sentence = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
            message = f"{error.part}, in {whole}: {sentence}{self.entering}"
            self.problems.append(Problem(message, self.place()))
        except NoColumn as error:
            self.problems.append(Problem(str(error), self.place()))
        except UserError as error:
            if len(error.about) and Key("batch_processors", error.about[0]) in self.definitions:
                self.at = self.path_of_node(*error.about[:2])
            for problem in error.problems:
                known = problem.place != Place()
                message = problem.message if known else f"{problem.message} (in {whole})"
                self.problems.append(Problem(message, problem.place if known else self.place()))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What is raised over a batch is a fault of the data where an example of it is odd."""
        self.fed = None
        try:
            yield
        except (UserError, UserCodeError) as error:
            if self.fed is None:
                raise
            data, frames = self.fed
            explained = data.explained(error, [0], frames)
            if explained is not error:
                self.at = self.fed_at
            raise explained from error.__cause__


def _in_process(source: InputSource) -> InputSource:
    return replace(source, factory=source.factory.in_process())


def _homes(graph: BatchGraph) -> dict[int, str]:
    """The processor of each node."""
    return {id(node): name for name, p in graph.processors.items() for node in p.nodes}


def _described(name: str, value: Any) -> str:
    """A value as ``name (shape) dtype``."""
    if isinstance(value, torch.Tensor):
        shape = ", ".join(map(str, value.shape))
        return f"{name} ({shape}) {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (list, tuple)):
        return f"{name} {type(value).__name__} of {len(value)}"
    return f"{name} {type(value).__name__}"
