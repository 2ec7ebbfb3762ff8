"""One batch of every pipeline, before half an hour is spent on a run that cannot end well."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from torchassistant.assembly import models_reached
from torchassistant.config import Key, Path
from torchassistant.data import MultiLoader, derived, object_rngs_seeded, seeded
from torchassistant.errors import (
    ConfigError,
    NoColumn,
    Place,
    Problem,
    UserCodeError,
    UserError,
    cause_of,
    listing,
    near,
)
from torchassistant.frames import Frames
from torchassistant.graph import (
    Call,
    Node,
    Processor,
    Watched,
    distinct,
    is_among,
    is_part_of_one,
    mode_dependent,
    values_by_name,
)
from torchassistant.ownership import is_from_users_code
from torchassistant.session.changed_buffers import noting_changed_buffers
from torchassistant.session.preflight_report import (
    FrozenReport,
    GroupReport,
    NodeReport,
    Preflight,
    StageReport,
)
from torchassistant.session.session import Session
from torchassistant.session.stateful_parts import members_of, run_by
from torchassistant.training import (
    BatchNotFinite,
    BatchRun,
    Changed,
    DebugPipeline,
    InputSource,
    KeptGradients,
    LossByKey,
    LossWeights,
    OwnStep,
    Pipeline,
    Progress,
    Stage,
    chosen,
    clippers_within,
    combine,
    evaluating_step,
    evaluation_data,
    first_sentence,
    freezing,
    is_by_closure,
    only_frames,
    parameters_of,
    stepping,
    unchanged,
    weighted_losses,
    weighted_sum,
)


def preflight(session: Session) -> Preflight:
    """Run one batch of every pipeline as each stage would: forward, losses, metrics, backward.

    Each optimizer makes a step. Afterwards everything is as it was: weights, buffers, gradients,
    random numbers, and what the objects of the user keep, as far as that can be put back.

    Raises:
        ConfigError: With a problem for each pipeline that cannot run, where it stands.
        UserCodeError: The user's code raised; it brings the problems.
    """
    flight = _Flight(session)
    seed = derived(session.seed, "preflight")
    rng_holders = {
        f"{name} {key}": part
        for name, pipeline in session.pipelines.items()
        for key, part in pipeline.rng_holders.items()
    }
    with unchanged(run_by(session)) as changed, seeded(seed), object_rngs_seeded(rng_holders, seed):
        flight.run()
    flight.warn_of_changes(changed)
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
        self.warned_of_mode: set[int] = set()
        self.weighted: list[torch.Tensor] = []
        self.warned_of_buffers: set[int] = set()
        self.fed: tuple[MultiLoader, Frames] | None = None
        self.fed_at: Path = ()
        self.definitions = {
            Key(d.group, d.name): ("initialize", "definitions", index)
            for index, d in enumerate(session.spec.initialize.definitions)
        }

    def run(self) -> None:
        session = self.session
        run: set[str] = set()
        for index, stage in enumerate(session.stages):
            with freezing(stage):
                stage.set_training()
                for pipeline in stage.training:
                    self.train(pipeline, stage)
            for pipeline in stage.validation:
                if pipeline.name not in run:
                    self.evaluate(pipeline)
            for debug in stage.debug:
                self.look(debug)
            run.update(p.name for p in (*stage.training, *stage.validation))
            self.report.stages.append(self.stage_report(stage, index))
            self.warn_of_frozen(stage, index)
        for pipeline in session.pipelines.values():
            if pipeline.name not in run:
                self.evaluate(pipeline)
        for name, optimizer in session.optimizers.items():
            groups = [_group(group) for group in optimizer.param_groups]
            self.report.optimizers[name] = sum(group.parameters for group in groups)
            self.report.groups[name] = groups
        self.report.models = list(self.made_of_others())
        self.warn_of_untrained()
        self.check_monitors()

    def stage_report(self, stage: Stage, index: int) -> StageReport:
        trained = [m for m in stage.trained if not stage.frozen.holds_all_of([*m.parameters()])]
        untrained = [
            model
            for model in stage.untrained
            if any(True for _ in model.parameters()) and not self.is_average(model)
        ]
        frozen = [
            FrozenReport(
                part.shown,
                sum(parameter.numel() for parameter in part.parameters),
                None if part.in_eval_mode is None else len(part.in_eval_mode),
            )
            for part in stage.frozen.parts
        ]
        turns = zip(stage.training, stage.all_turns, strict=True) if stage.takes_turns else ()
        return StageReport(
            self.session.spec.stage_title(index),
            self.names(trained),
            self.names(untrained),
            {pipeline.name: str(turn) for pipeline, turn in turns},
            frozen,
            list(self.beginning_of(index)),
        )

    def beginning_of(self, index: int) -> Iterator[str]:
        spec = self.session.spec
        stage = spec.train.stages[index]
        start = stage.start_from
        if start is not None:
            source = spec.stage_title(spec.stage_index(start.stage))
            of = f" of {', '.join(start.models)}" if start.models else ""
            yield f"starts from the {start.checkpoint} state{of} in {source}"
        if stage.reset:
            yield f"resets {', '.join(stage.reset)}"

    def warn_of_frozen(self, stage: Stage, index: int) -> None:
        """Warn of optimizers that step in a stage in which all that they train is frozen."""
        used = distinct(o for pipeline in stage.training for o in pipeline.optimizers)
        for name, optimizer in self.session.optimizers.items():
            if is_among(optimizer, used) and stage.frozen.holds_all_of(parameters_of([optimizer])):
                self.at = ("train", "stages", index, "frozen")
                self.warn(
                    f'the optimizer "{name}" changes nothing in this stage, as all that it trains '
                    "is frozen here"
                )

    def is_average(self, model: nn.Module) -> bool:
        """Whether a model is an average, or a part of one, which nothing else trains."""
        return is_part_of_one(model, [one.model for one in self.session.averages.values()])

    def made_of_others(self) -> Iterator[str]:
        """What each model is that is a part or an average of another."""
        for name, spec in self.session.spec.group("models").items():
            if spec.part_of:
                yield f"{name}: part of {spec.part_of} ({spec.path_})"
            elif spec.average_of:
                how = self.session.averages[name].averaging
                yield f"{name}: average of {spec.average_of} ({how})"

    def warn_of_changes(self, changed: Sequence[Changed]) -> None:
        """Warn of what the preflight has changed."""
        for path, what in changed:
            group, name = [*re.split(r"[/.]", path, maxsplit=2), ""][:2]
            self.at = self.definitions.get(Key(group, name), ())
            message = (
                f"{path} {what}, and the preflight cannot restore it: training in this process "
                'starts with it as it is now; "--no-preflight" avoids that'
            )
            self.warn(message)

    def names(self, modules: list[nn.Module]) -> list[str]:
        """Models by name, and losses as ``losses.NAME``."""
        losses = {f"losses.{name}": loss for name, loss in self.session.losses.items()}
        named = {**self.session.models, **losses}
        return [name for name, module in named.items() if is_among(module, modules)]

    def check_monitors(self) -> None:
        """What listens to a value of a loss that gives a dict names a key that it gives."""
        stages = self.session.stages
        headers = [stage.header for stage in stages]
        for index, (stage, header) in enumerate(zip(stages, headers, strict=True)):
            monitor = getattr(stage.stop_condition, "monitor", None)
            self.check_monitor(monitor, header, ("train", "stages", index, "stop_condition"))
            used = [optimizer for p in stage.training for optimizer in p.optimizers]
            for name, scheduler in self.session.schedulers.items():
                if is_among(scheduler.optimizer, used):
                    path = (*self.definitions[Key("optimizers", name)], "spec", "lr_scheduler")
                    self.check_monitor(scheduler.monitor, header, (*path, "monitor"))
        best = self.session.spec.checkpoints.best
        if best is not None:
            every = [column for header in headers for column in header]
            self.check_monitor(best.monitor, every, ("checkpoints", "best", "monitor"))

    def check_monitor(self, monitor: Any, header: Sequence[str], path: Path) -> None:
        if not isinstance(monitor, str) or monitor in header:
            return
        metrics = [item for p in self.session.pipelines.values() for item in p.metrics]
        by_key = [column for item in metrics for column in item.columns]
        own = [column for column in by_key if column.startswith(f"{monitor}/")]
        self.at = path
        if any(monitor in item.data for item in metrics):
            message = f'"{monitor}" is a tensor, which cannot be monitored'
        elif own:
            message = f'"{monitor}" gives several numbers; name one of them: {listing(own)}'
        elif "/" in monitor:
            message = f'no row has "{monitor}"{near(monitor, header)}'
        else:
            return
        self.problems.append(Problem(message, self.place()))

    def warn_of_untrained(self) -> None:
        """Parameters, other than those of models that no node trains, that no optimizer holds."""
        session = self.session
        held = {
            id(parameter)
            for optimizer in session.optimizers.values()
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        held |= {id(p) for left_out in session.untrained.values() for p in left_out}
        training = [pipeline for stage in session.stages for pipeline in stage.training]
        for model in distinct(
            model
            for pipeline in training
            for model in (*pipeline.graph.trained, *pipeline.trained_by_losses)
        ):
            left = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held]
            if left:
                (name, *_) = self.names([model])
                self.at = self.definitions[Key("models", name)]
                shown = f"{listing(left)} of the model " + f'"{name}"'
                self.warn(f"no optimizer has the parameters {shown}, which is trained")
        known = held | {id(p) for model in session.models.values() for p in model.parameters()}
        running = {id(part) for pipeline in training for part in pipeline.parts}
        for key, part in members_of(session).items():
            group, name, *rest = key.split("/")
            if id(part) not in running or group not in ("losses", "batch_processors"):
                continue
            # Of what is no module, the modules that it holds.
            named = [("", part)] if isinstance(part, nn.Module) else _held_by(part, session)
            left = [
                f"{of}{own}"
                for of, module in named
                for own, parameter in module.named_parameters()
                if parameter.requires_grad and id(parameter) not in known
            ]
            if left:
                self.at = self.definitions[Key(group, name)]
                trainable = group == "losses" and not rest and isinstance(part, nn.Module)
                hint = f'; one whose "model" is "losses.{name}" does' if trainable else ""
                self.warn(f"no optimizer trains the parameters of {key}: {listing(left)}{hint}")

    def warn(self, message: str) -> None:
        self.report.warnings.append(Problem(message, self.place()))

    # Pipelines

    def train(self, pipeline: Pipeline, stage: Stage) -> None:
        whole = f'the pipeline "{pipeline.name}"'
        with self.blamed(pipeline, whole):
            frames = self.batch(pipeline, Pipeline.training_data)
            if pipeline.train_step is not None:
                self.own_step(pipeline, stage, frames)
                return
            reports: list[tuple[Node, NodeReport]] = []
            for _, parameter in self.parameters(pipeline):
                parameter.grad = None
            graph, precision = pipeline.graph, pipeline.precision
            batches = BatchRun.for_training(
                graph,
                precision,
                partial(self.losses, pipeline),
                watched=self.watch(pipeline, reports),
            )
            total = batches.run(frames)
            if total is None:
                return
            self.at = ("initialize", "pipelines", pipeline.name, "losses")
            if not total.requires_grad:
                message = "the losses do not depend on anything that this pipeline trains"
                raise ConfigError(Problem(message, self.place()))
            scaler = None
            if pipeline.scaler is not None:
                # One that scales by 1: where a gradient overflows, a step would be left out.
                device = precision.device.type
                scaler = torch.amp.GradScaler(device, init_scale=1.0)
            self.backward(pipeline, self.weighted, scaler)
            if pipeline.compiling is not None:
                given = {port: frames[port] for port in graph.ports}
                losses = weighted_losses(pipeline)
                apart = pipeline.schedules or pipeline.combine is not None
                compute = losses.unweighted if apart else losses.of_batch
                compiled: BatchRun[Any] = BatchRun.for_training(
                    graph, precision, compute, pipeline.compiling
                )
                compiled.run(Frames(given, frames.counts))
            for node, report in reports:
                report.is_frozen = graph.frozen.holds_all_of([*node.model.parameters()])
                if not report.parameters or report.is_frozen:
                    continue
                report.reached = _has_gradient(node.model)
                if node.optimizer is not None and not report.reached:
                    self.at = self.path_of_node(report.processor, report.node)
                    message = f'no gradient reaches the node "{report.node}", which is trained here'
                    self.warn(message)
            for item in pipeline.losses:
                if item.optimizer is not None and not _has_gradient(item.loss.function):
                    message = f"no gradient reaches {item.loss.name}, which is trained here"
                    self.warn(message)
            for model in pipeline.trained_by_losses:
                if not _has_gradient(model):
                    (name, *_) = self.names([model])
                    self.warn(f'no gradient reaches the model "{name}", which is trained here')
            self.warn_of_modes(reports)
            self.warn_of_modes_in_losses(pipeline)
            again = Frames({port: frames[port] for port in graph.ports}, frames.counts)
            if graph.carries:
                self.carry_on(pipeline, again, frames)
            self.step(pipeline, scaler, whole, again)
            self.metrics(pipeline, frames)

    def own_step(self, pipeline: Pipeline, stage: Stage, frames: Frames) -> None:
        """Let the object of a pipeline make its step, which is taken back."""
        self.at = ("initialize", "pipelines", pipeline.name, "train_step")
        roots = {f"optimizers/{name}": one for name, one in self.session.optimizers.items()}
        kept = KeptGradients(pipeline)
        gradients = kept.state_dict()
        with unchanged({**roots, "models": pipeline.trained}):
            own = OwnStep(pipeline, replace(stage, schedulers=()), (), Progress())
            own.start_epoch()
            # A batch that is not finite is told of, or left out, in training.
            with contextlib.suppress(BatchNotFinite):
                own.perform([frames], range(1), 1)
                self.metrics(pipeline, own.frames)
        kept.load_state_dict(gradients)

    def carry_on(self, pipeline: Pipeline, given: Frames, done: Frames) -> None:
        """Run a batch as if it were the second, with what the first one carries on."""
        for processor in pipeline.graph.processors.values():
            for node in processor.nodes:
                if len(node.carries):
                    self.at = self.path_of_node(processor.name, node.name)
        second = Frames({port: dict(frame) for port, frame in given.items()}, given.counts)
        second.carried = done.carried
        BatchRun.for_training(pipeline.graph, pipeline.precision, only_frames).run(second)
        for index, source in enumerate(pipeline.inputs):
            if source.factory.draws_order:
                self.at = ("initialize", "pipelines", pipeline.name, "input_factories", index)
                self.warn(
                    f'the batches of "{source.factory.name}" are shuffled, and state is carried '
                    'from one to the next; "contiguous": true gives an order in which rows go on'
                )

    def step(
        self,
        pipeline: Pipeline,
        scaler: torch.amp.GradScaler | None,
        whole: str,
        frames: Frames,
    ) -> None:
        """Clip the gradients, and let each optimizer make a step, which is taken back."""
        session, trained = self.session, pipeline.trained
        used = pipeline.optimizers
        optimizers = {name: o for name, o in session.optimizers.items() if is_among(o, used)}
        roots = {f"optimizers/{name}": optimizer for name, optimizer in optimizers.items()}
        with unchanged({**roots, "models": trained}):
            if scaler is not None:
                for optimizer in optimizers.values():
                    scaler.unscale_(optimizer)
            for name, clipper in session.gradient_clippers.items():
                own = clipper.within(pipeline)
                if own is not None:
                    what = f'the gradient clipper "{name}"'
                    self.attempt(Key("gradient_clippers", name), what, whole, own)
            for name, optimizer in optimizers.items():
                is_idle = pipeline.graph.frozen.holds_all_of(parameters_of([optimizer]))
                step = stepping(optimizer)
                if scaler is not None and not is_idle:
                    step = partial(scaler.step, optimizer)
                if is_by_closure(optimizer):
                    step = partial(optimizer.step, partial(self.gradients, pipeline, frames))
                what = f'the step of the optimizer "{name}"'
                self.attempt(Key("optimizers", name), what, whole, step)

    def gradients(self, pipeline: Pipeline, frames: Frames) -> torch.Tensor:
        """Once more the loss, and the gradients, for an optimizer that asks for them."""
        for _, parameter in self.parameters(pipeline):
            parameter.grad = None
        own = Frames({port: dict(frame) for port, frame in frames.items()}, frames.counts)
        losses = weighted_losses(pipeline).unweighted
        with torch.enable_grad():
            _, values = BatchRun.for_training(pipeline.graph, pipeline.precision, losses).run(own)
            weighted = self.times_weights(pipeline, values)
            self.backward(pipeline, weighted)
        for clipper in clippers_within(pipeline, self.session.gradient_clippers.values()):
            clipper()
        return torch.stack([value.detach().reshape(()) for value in weighted]).sum()

    def attempt(self, key: Key, what: str, whole: str, act: Callable[[], object]) -> None:
        """Do something that a definition is there for; what goes wrong is its problem."""
        self.at = (*self.definitions[key], "spec")
        with self.problem_of(whole):
            try:
                act()
            except UserError:
                raise
            except Exception as error:
                raise UserCodeError(what) from error

    def warn_of_modes(self, reports: list[tuple[Node, NodeReport]]) -> None:
        """Models that nothing trains, and that act in training as they do not in validation."""
        stages_trained = [model for stage in self.session.stages for model in stage.trained]
        warned = self.warned_of_mode
        for node, report in reports:
            # What has nothing to learn is there for what it does in training, as a layer of noise.
            parts = mode_dependent(node.model) if report.parameters else []
            is_kept = is_part_of_one(node.model, stages_trained) or self.is_average(node.model)
            if parts and report.mode == "train" and not is_kept and id(node.model) not in warned:
                self.warned_of_mode.add(id(node.model))
                name = self.names([node.model])[0]
                self.at = self.path_of_node(report.processor, report.node)
                message = (
                    f'the model "{name}" is trained by no stage, and runs in train mode, in which '
                    f"{' and '.join(parts)} behave differently than in validation; "
                    '"mode": "eval" runs it in eval mode'
                )
                self.warn(message)

    def warn_of_modes_in_losses(self, pipeline: Pipeline) -> None:
        """The same for models that losses are called with, and that no node runs."""
        stages = self.session.stages
        known = {id(model) for stage in stages for model in stage.trained} | self.warned_of_mode
        known |= {id(node.model) for node in pipeline.graph.nodes}
        for index, item in enumerate(pipeline.losses):
            for model, calling in item.models:
                parts = mode_dependent(model)
                if not parts or calling.in_eval_mode or id(model) in known:
                    continue
                self.warned_of_mode.add(id(model))
                (name, *_) = self.names([model])
                self.at = ("initialize", "pipelines", pipeline.name, "losses", index)
                self.warn(
                    f'the model "{name}" is trained by no stage, and {item.loss.name} runs it in '
                    f"train mode, in which {' and '.join(parts)} behave differently"
                )

    def evaluate(self, pipeline: Pipeline) -> None:
        whole = f'the evaluation of the pipeline "{pipeline.name}"'
        batches = BatchRun.for_evaluation(
            pipeline.graph,
            pipeline.precision,
            partial(self.losses, pipeline),
            lambda: pipeline.reached,
            self.watch(pipeline, []),
        )
        with self.blamed(pipeline, whole), batches.mode():
            frames = self.batch(pipeline, Pipeline.evaluation_data)
            if pipeline.eval_step is None:
                batches.run(frames)
            else:
                self.at = ("initialize", "pipelines", pipeline.name, "eval_step")
                evaluating_step(pipeline)(frames, 0)
            self.metrics(pipeline, frames)

    def look(self, debug: DebugPipeline) -> None:
        path: Path = ("initialize", "debug_pipelines", debug.name)
        self.at = path
        batches = BatchRun.for_evaluation(debug.graph, debug.precision, only_frames)
        with self.problem_of(f'the debug pipeline "{debug.name}"'), batches.mode():
            inputs = [_in_process(source) for source in debug.inputs]
            data = evaluation_data(inputs, debug.seed)
            frames = next(data.frames(0), None)
            if frames is not None:
                self.fed = data, Frames(frames, frames.counts)
                self.fed_at = (*path, "input_factories")
                self.at = (*path, "output_keys")
                chosen(batches.run(frames), debug.graph, debug.keys)

    def batch(self, pipeline: Pipeline, data_of: Callable[[Pipeline], MultiLoader]) -> Frames:
        """The first frame of each port."""
        self.at = path = ("initialize", "pipelines", pipeline.name)
        self.fed, self.fed_at = None, (*path, "input_factories")
        inputs = [_in_process(source) for source in pipeline.inputs]
        data = data_of(replace(pipeline, inputs=inputs))
        if pipeline.ends_by_itself:
            self.report.batches[pipeline.name] = data.length()
        frames = Frames()
        for index, port in enumerate(data.ports):
            self.at = (*path, "input_factories", index)
            found = next(MultiLoader([port]).frames(0), None)
            if found is None:
                message = f'the loader factory "{port.source}" gives no batch'
                raise ConfigError(Problem(message, self.place()))
            frames.update(found)
            frames.counts.update(found.counts)
        for link in pipeline.links:
            source = pipeline.pipelines[link.pipeline]
            met = self.met(source, data_of, runs=link.node is not None)
            self.at = (*path, "input_factories")
            link.feed(frames, met, source.graph)
        self.fed = data, Frames(frames, frames.counts)
        return frames

    def met(
        self, source: Pipeline, data_of: Callable[[Pipeline], MultiLoader], runs: bool
    ) -> Frames:
        """What a pipeline that feeds another has met."""
        frames = self.batch(source, data_of)
        if runs:
            BatchRun.for_evaluation(source.graph, source.precision, only_frames).run(frames)
        return frames

    def losses(self, pipeline: Pipeline, frames: Frames) -> torch.Tensor | None:
        values: list[torch.Tensor] = []
        for index, item in enumerate(pipeline.losses):
            self.at = ("initialize", "pipelines", pipeline.name, "losses", index)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                samples = pipeline.graph.count_of(frames, item.node)
                value, _, _ = LossByKey(item.loss)(frames[item.node], samples)
            for warning in caught:
                if "target size" in str(warning.message):
                    sentence = str(warning.message).splitlines()[0].split(". ")[0]
                    message = f"{item.loss.name} broadcasts one of its inputs: {sentence}"
                    raise ConfigError(Problem(message, self.place()))
            values.append(value)
        self.weighted = self.times_weights(pipeline, values)
        return weighted_sum(self.weighted, [1] * len(values)) if values else None

    def times_weights(
        self, pipeline: Pipeline, losses: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        weights = self.weights(pipeline)
        return [value * weight for value, weight in zip(losses, weights, strict=True)]

    def backward(
        self,
        pipeline: Pipeline,
        weighted: Sequence[torch.Tensor],
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """Leave gradients with the parameters, from losses times their weights."""
        if pipeline.combine is not None:
            self.at = ("initialize", "pipelines", pipeline.name, "combine")
            combine(pipeline, weighted)
            return
        total = weighted_sum(weighted, [1] * len(weighted))
        try:
            (total if scaler is None else scaler.scale(total)).backward()
        except UserError:
            raise
        except Exception as error:
            raise UserCodeError("the backward pass") from error

    def weights(self, pipeline: Pipeline) -> list[float]:
        """Those of the losses, at the first step of a stage."""
        path: Path = ("initialize", "pipelines", pipeline.name)
        self.at = (*path, "losses")
        return LossWeights(pipeline, Progress()).now()

    def metrics(self, pipeline: Pipeline, frames: Frames) -> None:
        with torch.no_grad():
            for index, item in enumerate(pipeline.metrics):
                self.at = ("initialize", "pipelines", pipeline.name, "metrics", index)
                metric = item.metric.fresh()
                metric.update(frames[item.node], pipeline.graph.count_of(frames, item.node))
                metric.result()

    def parameters(self, pipeline: Pipeline) -> Iterator[tuple[str, nn.Parameter]]:
        for module in pipeline.modules:
            yield from module.named_parameters()

    # Nodes

    def watch(self, pipeline: Pipeline, reports: list[tuple[Node, NodeReport]]) -> Watched:
        """Notes what goes into each node and what comes out, and where the run is."""
        optimizers = {id(o): name for name, o in self.session.optimizers.items()}

        def watched(processor: Processor, node: Node | None, call: Call) -> Call:
            if node is None:
                return call

            noting = self.noting_buffers(pipeline, processor, node, call)

            def run(*args: Any) -> object:
                self.at = self.path_of_node(processor.name, node.name)
                carried = {c.input: f"{c.input} carried from {c.output}" for c in node.carries}
                labels = [carried.get(name, name) for name in node.inputs]
                inputs = [_described(n, v) for n, v in zip(labels, args, strict=True)]
                self.entering = f"; it was called with {', '.join(inputs)}" if inputs else ""
                result = noting(*args)
                self.entering = ""
                made = _values_of(result, node.outputs)
                report = NodeReport(
                    pipeline.name,
                    processor.name,
                    node.name,
                    "train" if node.model.training and not node.calling.in_eval_mode else "eval",
                    inputs,
                    [
                        _described(label, value)
                        for label, value in zip(_labels(node), made, strict=False)
                    ],
                    sum(p.numel() for p in node.model.parameters()),
                    optimizers.get(id(node.optimizer)),
                )
                reports.append((node, report))
                self.report.nodes.append(report)
                return result

            return run

        return watched

    def noting_buffers(
        self, pipeline: Pipeline, processor: Processor, node: Node, call: Call
    ) -> Call:
        """Warn where training would throw away what a call does to buffers, and nobody said so."""
        calling, model = node.calling, node.model
        is_kept = calling.keeps(is_trained=is_among(model, pipeline.graph.trained))
        is_compiled = calling.forward is not None or getattr(processor, "compiling", None)
        if calling.keeps_buffers is not None or not is_kept or is_compiled:
            return call

        def noting(*args: Any) -> Any:
            with noting_changed_buffers(model) as changed:
                result = call(*args)
            # Out of training nothing is put back.
            if changed and torch.is_grad_enabled():
                self.warn_of_buffers(processor, node, changed)
            return result

        return noting

    def warn_of_buffers(self, processor: Processor, node: Node, changed: list[str]) -> None:
        model = node.model
        if id(model) not in self.warned_of_buffers:
            self.warned_of_buffers.add(id(model))
            self.at = self.path_of_node(processor.name, node.name)
            self.warn(
                f'the model "{self.names([model])[0]}" is not trained here, and its forward pass '
                f"changes buffers, which are put back after it ({listing(changed)}); "
                '"buffers": "move" lets them change, "keep" says that this is meant'
            )

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
            cause = cause_of(error)
            if is_from_users_code(cause):
                raised = error.in_part_of(whole)
                raised.__cause__ = cause
                self.raised.append(raised)
                return
            message = f"{error.part}, in {whole}: {first_sentence(cause)}{self.entering}"
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
        """What is raised over a batch is a fault of the data where an example of it stands out."""
        self.fed = None
        try:
            yield
        except (UserError, UserCodeError) as error:
            if self.fed is None:
                raise
            data, frames = self.fed
            explained = data.explained(error, [0], frames, tells_batch=False)
            if explained is not error:
                self.at = self.fed_at
            raise explained from error.__cause__


def _held_by(part: Any, session: Session) -> list[tuple[str, nn.Module]]:
    """The modules that an object holds, each with its class for a prefix."""
    return [(f"{type(m).__name__}.", m) for m in models_reached([part], session, {})]


def _group(group: dict[str, Any]) -> GroupReport:
    """A parameter group, with the learning rate that its scheduler begins from."""
    rate = group.get("initial_lr", group.get("lr"))
    options = {"lr": rate, "weight_decay": group.get("weight_decay")}
    return GroupReport(
        group.get("name"),
        sum(parameter.numel() for parameter in group["params"]),
        {key: float(value) for key, value in options.items() if value is not None},
    )


def _has_gradient(module: nn.Module) -> bool:
    return any(parameter.grad is not None for parameter in module.parameters())


def _in_process(source: InputSource) -> InputSource:
    return replace(source, factory=source.factory.in_process())


def _labels(node: Node) -> list[str]:
    """The names of what a node gives, those of taps with where they come from."""
    taps = {tap.name: f"{tap.name} from {tap.written}" for tap in node.calling.taps}
    return [taps.get(name, name) for name in node.outputs]


def _values_of(result: Any, outputs: Sequence[str]) -> list[Any]:
    """What a model has returned for each output."""
    if isinstance(result, (list, tuple)):
        return list(result)
    named = None if isinstance(result, torch.Tensor) else values_by_name(result)
    return [result] if named is None else [named.get(name) for name in outputs]


def _described(name: str, value: Any) -> str:
    """A value as ``name (shape) dtype``."""
    if isinstance(value, torch.Tensor):
        shape = ", ".join(map(str, value.shape))
        return f"{name} ({shape}) {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (list, tuple)):
        return f"{name} {type(value).__name__} of {len(value)}"
    return f"{name} {type(value).__name__}"
