"""What computes the gradients of a pipeline; found out once, when a stage begins."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.training.events import Listener, Parts
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.steps.combined_losses import CombinedLosses
from torchassistant.training.steps.gradients import AccumulatedBatches, OneBatch
from torchassistant.training.steps.joint_gradients import JointGradients
from torchassistant.training.steps.part_combining import PartCombining
from torchassistant.training.steps.part_gradients import PartGradients


def gradients_of(
    pipeline: Pipeline, listeners: Sequence[Listener], parts: Parts, progress: Progress
) -> OneBatch | AccumulatedBatches | PartGradients:
    """What computes the gradients of a pipeline.

    Args:
        pipeline: Whose.
        listeners: Of losses and gradients.
        parts: Puts events around models, losses and backward passes.
        progress: Where the run is; weights that are scheduled follow from that.
    """
    if pipeline.world is not None:
        if pipeline.world.runs_jointly:
            return JointGradients(pipeline, listeners, parts, progress)
        shared = PartGradients if pipeline.combine is None else PartCombining
        return shared(pipeline, listeners, parts, progress)
    if pipeline.combine is not None:
        return CombinedLosses(pipeline, listeners, parts, progress)
    kind = OneBatch if pipeline.accumulated == 1 else AccumulatedBatches
    return kind(pipeline, listeners, parts, progress)
