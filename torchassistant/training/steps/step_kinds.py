"""Which kind of step a pipeline is trained by; found out once, when a stage begins."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.training.events import Listener
from torchassistant.training.optimizer_calls import is_by_closure
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.stage import Stage
from torchassistant.training.steps.closure_step import ClosureStep
from torchassistant.training.steps.own_step import OwnStep
from torchassistant.training.steps.train_step import TrainStep


def train_step_of(
    pipeline: Pipeline, stage: Stage, listeners: Sequence[Listener], progress: Progress
) -> TrainStep:
    """What trains a pipeline on the batches of one step.

    Args:
        pipeline: What is trained.
        stage: Its clippers and schedulers are used, and whether it leaves out such batches.
        listeners: Of steps.
        progress: Where the run is.
    """
    kind = _kind_of(pipeline)
    if stage.log is None:
        return kind(pipeline, stage, listeners, progress)
    # A pipeline may sit out, and a batch be left out; the last norms before a row count then.
    is_alone = len(stage.training) == 1 and not stage.takes_turns and not stage.skips_nonfinite
    norms = stage.log.norms_of(pipeline, steps_always=is_alone)
    step = kind(pipeline, stage, [*listeners, norms], progress)
    step.also_add_to(stage.log.losses_of(step.losses))
    return step


def _kind_of(pipeline: Pipeline) -> type[TrainStep]:
    if pipeline.train_step is not None:
        return OwnStep
    by_closure = any(is_by_closure(optimizer) for optimizer in pipeline.optimizers)
    return ClosureStep if by_closure else TrainStep
