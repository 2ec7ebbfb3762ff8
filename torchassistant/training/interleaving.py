"""Who runs now: how the training pipelines of a stage take turns."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.training.pipeline_trainer import PipelineTrainer


class Interleaving:
    """The rest of an epoch, in iterations: in each, every pipeline that has a batch left steps.

    Args:
        trainers: In the order in which an iteration runs them.
        iterations: So many of the epoch are done. Where the run was stopped within an iteration,
            some pipelines have done their part of the next one.
    """

    def __init__(self, trainers: Sequence[PipelineTrainer], iterations: int) -> None:
        self.running = [trainer for trainer in trainers if not trainer.progress.done]
        self.ahead = {trainer for trainer in trainers if trainer.iterations > iterations}

    def run_iteration(self, number: int) -> bool:
        """Let each pipeline make its step.

        Args:
            number: Of the iteration, over all stages, from 1.

        Returns:
            Whether there was an iteration; False where no pipeline had a batch left.
        """
        for trainer in list(self.running):
            if trainer in self.ahead:
                continue
            if not trainer.step(number):
                self.running.remove(trainer)
        self.ahead.clear()
        return bool(self.running)
