"""One batch of a pipeline as a stage would train it: forward, losses, backward, step, metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from torchassistant.config import Path
from torchassistant.errors import ConfigError
from torchassistant.frames import Frames
from torchassistant.graph import Node
from torchassistant.session.preflight.findings import Findings, path_of_pipeline
from torchassistant.session.preflight.first_batches import FirstBatches, NoDataYet
from torchassistant.session.preflight.losses import Losses, measure
from torchassistant.session.preflight.modes import ModeWarnings
from torchassistant.session.preflight.node_watch import NodeWatch
from torchassistant.session.preflight.report import NodeReport
from torchassistant.session.preflight.step_trial import StepTrial, clear_gradients
from torchassistant.training import (
    BatchNotFinite,
    BatchRun,
    KeptGradients,
    OwnStep,
    Pipeline,
    Progress,
    Stage,
    only_frames,
    unchanged,
    weighted_losses,
)


class TrainingTrial:
    """Trains one batch of pipelines.

    Args:
        found: Gets warnings and problems.
        batches: Reads the batches.
        watch: Notes what nodes do.
    """

    def __init__(self, found: Findings, batches: FirstBatches, watch: NodeWatch) -> None:
        self.found = found
        self.batches = batches
        self.watch = watch
        self.modes = ModeWarnings(found)

    def run(self, pipeline: Pipeline, stage: Stage) -> None:
        """Train a pipeline of a stage on one batch."""
        whole = f'the pipeline "{pipeline.name}"'
        with self.found.blamed(pipeline, whole), contextlib.suppress(NoDataYet):
            frames = self.batches.for_training(pipeline)
            if pipeline.train_step is None:
                self._train(pipeline, stage, frames, whole)
            else:
                self._own_step(pipeline, stage, frames)

    def _train(self, pipeline: Pipeline, stage: Stage, frames: Frames, whole: str) -> None:
        losses = Losses(pipeline, self.found)
        reports: list[tuple[Node, NodeReport]] = []
        clear_gradients(pipeline)
        batch = BatchRun.for_training(
            pipeline.graph,
            pipeline.precision,
            losses.of_batch,
            watched=self.watch.of(pipeline, reports),
        )
        total = batch.run(frames)
        if total is None:
            return
        self.found.at = losses.path
        if not total.requires_grad:
            raise self._without_gradient(pipeline, stage, losses.path)
        scaler = None
        if pipeline.scaler is not None:
            # One that scales by 1: where a gradient overflows, a step would be left out.
            scaler = torch.amp.GradScaler(pipeline.precision.device.type, init_scale=1.0)
        losses.backward(losses.weighted, scaler)
        if pipeline.compiling is not None:
            self._run_compiled(pipeline, frames)
        self._look_at_gradients(pipeline, reports)
        self.modes.warn_of_nodes(reports)
        self.modes.warn_of_frozen(reports, stage)
        self.modes.warn_of_losses(pipeline)
        again = Frames({port: frames[port] for port in pipeline.graph.ports}, frames.counts)
        if pipeline.graph.carries:
            self._carry_on(pipeline, again, frames)
        StepTrial(pipeline, losses, whole, self.found).run(again, scaler)
        measure(pipeline, frames, self.found, stage)

    def _without_gradient(self, pipeline: Pipeline, stage: Stage, path: Path) -> ConfigError:
        """The error that the losses of a pipeline, which stand at a path, have no gradient."""
        trained = [p for module in pipeline.trained for p in module.parameters()]
        if not stage.frozen.holds_all_of(trained):
            message = "the losses do not depend on anything that this pipeline trains"
            return self.found.error(message, path)
        index = next(i for i, one in enumerate(self.found.session.stages) if one is stage)
        message = f'all that the pipeline "{pipeline.name}" trains is frozen in this stage'
        return self.found.error(message, ("train", "stages", index, "frozen"))

    def _own_step(self, pipeline: Pipeline, stage: Stage, frames: Frames) -> None:
        """Let the object of a pipeline make its step, which is taken back."""
        self.found.at = (*path_of_pipeline(pipeline), "train_step")
        optimizers = self.found.session.optimizers
        roots = {f"optimizers/{name}": optimizer for name, optimizer in optimizers.items()}
        kept = KeptGradients(pipeline)
        gradients = kept.state_dict()
        with unchanged({**roots, "models": pipeline.trained}):
            own = OwnStep(pipeline, replace(stage, schedulers=()), (), Progress())
            own.start_epoch()
            # A batch that is not finite is told of, or left out, in training.
            with contextlib.suppress(BatchNotFinite):
                own.perform([frames], range(1), 1)
                measure(pipeline, own.frames, self.found, stage)
        kept.load_state_dict(gradients)

    def _run_compiled(self, pipeline: Pipeline, frames: Frames) -> None:
        graph = pipeline.graph
        given = {port: frames[port] for port in graph.ports}
        losses = weighted_losses(pipeline)
        apart = pipeline.schedules or pipeline.combine is not None
        compute = losses.unweighted if apart else losses.of_batch
        compiled: BatchRun[Any] = BatchRun.for_training(
            graph, pipeline.precision, compute, pipeline.compiling
        )
        compiled.run(Frames(given, frames.counts))

    def _look_at_gradients(
        self, pipeline: Pipeline, reports: Sequence[tuple[Node, NodeReport]]
    ) -> None:
        """Warn of what is trained here, and gets no gradient."""
        found = self.found
        for node, report in reports:
            report.is_frozen = pipeline.graph.frozen.holds_all_of([*node.model.parameters()])
            if not report.parameters or report.is_frozen:
                continue
            report.reached = _has_gradient(node.model)
            if node.optimizers and not report.reached:
                message = f'no gradient reaches the node "{report.node}", which is trained here'
                found.warn(message, found.path_of_node(report.processor, report.node))
        path = (*path_of_pipeline(pipeline), "losses")
        for item in pipeline.losses:
            if item.optimizer is not None and not _has_gradient(item.loss.function):
                message = f"no gradient reaches {item.loss.name}, which is trained here"
                found.warn(message, path)
        for model in pipeline.trained_by_losses:
            if not _has_gradient(model):
                (name, *_) = found.names([model])
                message = f'no gradient reaches the model "{name}", which is trained here'
                found.warn(message, path)

    def _carry_on(self, pipeline: Pipeline, given: Frames, done: Frames) -> None:
        """Run a batch as if it were the second, with what the first one carries on."""
        for processor in pipeline.graph.processors.values():
            for node in processor.nodes:
                if len(node.carries):
                    self.found.at = self.found.path_of_node(processor.name, node.name)
        second = Frames({port: dict(frame) for port, frame in given.items()}, given.counts)
        second.carried = done.carried
        BatchRun.for_training(pipeline.graph, pipeline.precision, only_frames).run(second)
        for index, source in enumerate(pipeline.inputs):
            if source.factory.draws_order:
                self.found.warn(
                    f'the batches of "{source.factory.name}" are shuffled, and state is carried '
                    'from one to the next; "contiguous": true gives an order in which rows go on',
                    (*path_of_pipeline(pipeline), "input_factories", index),
                )


def _has_gradient(module: nn.Module) -> bool:
    return any(parameter.grad is not None for parameter in module.parameters())
