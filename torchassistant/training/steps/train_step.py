"""One training step of one pipeline: from its batches to new parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from torchassistant.frames import Frames
from torchassistant.graph import buffers_of, is_among
from torchassistant.training.events import Listener, Parts, handlers_of
from torchassistant.training.losses.running_losses import RunningLosses
from torchassistant.training.losses.weighted_losses import LossValues
from torchassistant.training.nan_guard import BatchNotFinite, nan_guard_of
from torchassistant.training.optimizer_calls import zeroing
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress
from torchassistant.training.stage import Stage
from torchassistant.training.steps.averaging_update import followed_by_averages
from torchassistant.training.steps.gradient_kinds import gradients_of
from torchassistant.training.steps.gradients import AccumulatedBatches, OneBatch
from torchassistant.training.steps.optimizer_update import OptimizerUpdate
from torchassistant.training.steps.part_gradients import PartGradients


class TrainStep:
    """Trains a pipeline on the batches of one step.

    In short::

        zero the gradients of its optimizers
        without gradients for the parameters that other pipelines train:
            forward, losses, backward            (see ``gradients``)
        add the losses to the running ones
        clippers, optimizers, schedulers         (see ``optimizer_update``)

    The NaN guard listens, and ends the step where a loss or a gradient is not finite.

    Args:
        pipeline: What is trained.
        stage: Its clippers and schedulers are used, and whether it leaves out such batches.
        listeners: Of steps.
        progress: Where the run is.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        stage: Stage,
        listeners: Sequence[Listener],
        progress: Progress,
    ) -> None:
        self.pipeline = pipeline
        self.skips = stage.skips_nonfinite
        self.guard = nan_guard_of(pipeline, waits=self.skips or pipeline.world is not None)
        self.progress = progress
        self.losses = RunningLosses(pipeline)
        listeners = [self.guard, *listeners]
        gradients, update = self.made_of(stage, listeners, Parts(listeners))
        self.gradients, self.update = gradients, followed_by_averages(update, stage)
        self.add_losses = self.losses.add
        self.carrying = self.gradients.carrying
        self.step_finished = handlers_of(listeners, Listener.step_finished)
        self.start_epoch()

    def made_of(
        self, stage: Stage, listeners: Sequence[Listener], parts: Parts
    ) -> tuple[OneBatch | AccumulatedBatches | PartGradients, OptimizerUpdate]:
        """What computes the gradients, and what changes the parameters by them."""
        gradients = gradients_of(self.pipeline, listeners, parts, self.progress)
        update = OptimizerUpdate(
            self.pipeline, stage.clippers, stage.schedulers, self.losses.latest, parts
        )
        return gradients, update

    def also_add_to(self, means: RunningLosses) -> None:
        """Add the losses of each batch to other means too."""
        add, add_too = self.add_losses, means.add

        def add_both(losses: LossValues) -> None:
            add(losses)
            add_too(losses)

        self.add_losses = add_both

    def start_epoch(self) -> None:
        """Look at the optimizers again: they may have got parameters since the last epoch."""
        self.zeros = [zeroing(optimizer) for optimizer in self.pipeline.optimizers]
        self.trained_elsewhere = self._trained_elsewhere()
        self.update.start_epoch()
        if isinstance(self.gradients, PartGradients):
            self.gradients.start_epoch()

    def perform(self, window: Sequence[Frames], numbers: range, iteration: int) -> int:
        """Make a step.

        Args:
            window: The frames of the ports, for each batch of the step.
            numbers: The places of the batches in their epoch, from 0.
            iteration: Its number over all stages, from 1.

        Returns:
            How many of the batches were left out, without a trace: none, or all.

        Raises:
            BatchNotFinite: A loss or a gradient is not finite, and nothing is left out.
        """
        undo = self.forward_state() if self.skips else None
        for zero in self.zeros:
            zero()
        for parameter in self.trained_elsewhere:
            parameter.requires_grad = False
        try:
            losses = self.gradients.compute(window, numbers, iteration)
        except BatchNotFinite:
            if undo is None:
                raise
            self._leave_out(undo)
            return len(numbers)
        finally:
            for parameter in self.trained_elsewhere:
                parameter.requires_grad = True
        for values in losses:
            self.add_losses(values)
        # The graph of the losses goes before the optimizers allocate.
        del losses, values
        self.update.run()
        for handle in self.step_finished:
            handle(self.pipeline)
        return 0

    @property
    def frames(self) -> Frames:
        """Of all ports and processors, of the last batch."""
        return self.gradients.frames

    def frames_of(self, piece: int) -> Frames:
        """The same, of one of the pieces in which the last batch came."""
        gradients = self.gradients
        return gradients.part_frames[piece] if isinstance(gradients, PartGradients) else self.frames

    def forget_frames(self) -> None:
        """Let go of what the last batch has made."""
        self.gradients.frames = Frames()

    def forward_state(self) -> Callable[[], None]:
        """Notes what forward passes change: buffers and what is carried on; puts that back."""
        restore_buffers, carrying = buffers_of(self.pipeline.reached), self.carrying
        if carrying is None:
            return restore_buffers
        values = carrying.values

        def put_back() -> None:
            restore_buffers()
            carrying.values = values

        return put_back

    def _leave_out(self, undo: Callable[[], None]) -> None:
        """Go on as if the batches of this step had not been there."""
        for zero in self.zeros:
            zero()
        undo()

    def _trained_elsewhere(self) -> list[nn.Parameter]:
        """Parameters that run in this pipeline, and that another one may train."""
        models, left_out = self.pipeline.trained, self.pipeline.left_out
        others = [m for m in self.pipeline.modules if not is_among(m, models)]
        if not left_out and not any(True for m in others for _ in m.parameters()):
            return []
        own = {id(p) for model in models for p in model.parameters()} - set(map(id, left_out))
        kept = (p for part in others for p in part.parameters())
        found = {id(p): p for p in (*kept, *left_out) if p.requires_grad}
        return [p for key, p in found.items() if key not in own]
