"""The callbacks of a stage, as a listener of its loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from torchassistant.callbacks.events import Stop
from torchassistant.frames import Frames
from torchassistant.graph import is_among
from torchassistant.parallel import World
from torchassistant.training.callback_calls import Calls, calls_of
from torchassistant.training.callback_run import CallbackRun
from torchassistant.training.events import Batch, Listener, Live, Parts
from torchassistant.training.loop.pipeline_trainer import Perform, PipelineTrainer
from torchassistant.training.losses.metric_values import Results
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import Progress, Row
from torchassistant.training.timing import Timing

_STOPS: tuple[Stop, ...] = ("", "stage", "training")
_OF_VALIDATION = ("on_validation_start", "on_validation_batch_end", "on_validation_end")


class StageCallbacks(Listener):
    """Calls the callbacks of one stage; it listens only to what one of them wants to hear.

    Args:
        run: The callbacks of the run.
        stage: The index of the stage.
        timing: Learns how long they take.
        listeners: Who else listens to the loop.
        live: Gives the running losses.
    """

    def __init__(
        self,
        run: CallbackRun,
        stage: int,
        timing: Timing,
        listeners: Sequence[Listener],
        live: Live,
    ) -> None:
        self.run = run
        self.now = run.now
        self.now.live = live
        self.stage = stage
        self.owns = owns = run.enter(stage, timing)
        parts = Parts(listeners)

        def calls(event: str) -> Calls:
            return calls_of(event, owns, run.now, timing, parts)

        self.on_epoch_start = calls("on_epoch_start")
        self.on_iteration_start = calls("on_iteration_start")
        self.on_step_start = calls("on_step_start")
        self.on_backward_end = calls("on_backward_end")
        self.on_step_end = calls("on_step_end")
        self.on_iteration_end = calls("on_iteration_end")
        self.on_validation_start, self.on_batch, self.on_validation_end = map(calls, _OF_VALIDATION)
        self.on_epoch_end = calls("on_epoch_end")
        self._listen()

    def _listen(self) -> None:
        """Override those events of the loop that somebody wants to hear."""
        heard = {
            "iteration_done": (self.on_iteration_end, self.on_iteration_end.between_steps()),
            "gradients_final": (self.on_backward_end, self._gradients_final),
            "measuring_started": (self.on_validation_start, self._measuring_started),
            "batch_measured": (self.on_batch, self._batch_measured),
            "evaluation_measured": (self.on_validation_end, self._evaluation_measured),
        }
        for event, (calls, handle) in heard.items():
            if calls.are_any:
                setattr(self, event, handle)

    # Epochs

    def epoch_started(self, progress: Progress, iterations: int | None) -> None:
        """An epoch begins, or goes on."""
        self.now.epoch = number = progress.epoch + 1
        self.now.iterations = iterations
        if self.run.epoch_told != number:
            self.run.epoch_told = number
            self.on_epoch_start.run()

    def is_stopping(self) -> bool:
        """Whether a callback has asked for the end of the stage."""
        return bool(self.now.stop)

    def agree_on_stopping(self, world: World) -> None:
        """Let all processes stop where a callback of one of them has asked for that."""
        asked = torch.tensor([_STOPS.index(self.now.stop)])
        self.now.stop = _STOPS[int(world.processes.gather(asked).max())]

    def fill(self, row: Row) -> None:
        """Give a row what they have added."""
        for own in self.owns:
            own.fill(row)

    def end_epoch(self, row: Row, is_open: bool) -> None:
        """The row of an epoch is made; ``is_open`` says that it may get more values."""
        self.now.row, self.now.open_row = row, row if is_open else None
        try:
            self.on_epoch_end.run()
        finally:
            self.now.row = self.now.open_row = None

    def noted(self) -> Callable[[], None]:
        """Notes what those keep that hear of validation; puts it back, where that is left."""
        put_back = [own.noted() for own in self.owns] if self._hear_of_validation else []
        stop = self.now.stop

        def restore() -> None:
            for put in put_back:
                put()
            self.now.stop = stop

        return restore

    @property
    def _hear_of_validation(self) -> bool:
        heard = (self.on_validation_start, self.on_batch, self.on_validation_end)
        return any(calls.are_any for calls in heard)

    # Iterations

    def around_steps_of(self, trainer: PipelineTrainer) -> Perform:
        """What performs the steps of a pipeline; the same, where nobody wants to hear of them."""
        perform, pipeline, now, run = trainer.perform, trainer.pipeline, self.now, self.run
        of_starts = (self.on_iteration_start, self.on_step_start)
        if not any(c.are_any for c in (*of_starts, self.on_backward_end, self.on_step_end)):
            return perform
        optimizers = {pipeline.optimizer_names[id(o)]: o for o in pipeline.optimizers}

        def losses() -> dict[str, float]:
            means = trainer.train_step.losses
            return {name: means.latest(name) for name in means.means}

        def perform_heard(window: Sequence[Frames], numbers: range, iteration: int) -> int:
            now.iteration, now.repeat, now.losses = iteration, trainer.progress.steps, losses
            now.pipeline, now.models, now.optimizers = pipeline.name, pipeline.models, optimizers
            now.batches, now.frames = window, window[-1]
            if run.iteration_told != iteration:
                run.iteration_told = iteration
                self.on_iteration_start.run()
            self.on_step_start.run()
            left_out = perform(window, numbers, iteration)
            if not left_out:
                now.frames = trainer.train_step.frames
                self.on_step_end.run()
            now.batches, now.frames = (), {}
            return left_out

        return perform_heard

    def _gradients_final(self, batch: Batch, total: Tensor) -> None:
        now, of_pipeline = self.now, self.now.optimizers
        now.frames, now.is_repeated = batch.frames, batch.is_repeated
        if batch.optimizers:
            now.optimizers = {
                name: optimizer
                for name, optimizer in of_pipeline.items()
                if is_among(optimizer, batch.optimizers)
            }
        try:
            self.on_backward_end.run()
        finally:
            now.optimizers = of_pipeline

    # Validation

    def _measuring_started(self, pipeline: Pipeline) -> None:
        self.now.pipeline = pipeline.name
        self.on_validation_start.run()

    def _batch_measured(self, pipeline: Pipeline, number: int, frames: Frames) -> None:
        self.now.pipeline, self.now.batch, self.now.frames = pipeline.name, number, frames
        self.on_batch.run()
        self.now.frames = {}

    def _evaluation_measured(self, pipeline: str, results: Results) -> None:
        self.now.pipeline, self.now.results, self.now.data = pipeline, results.numbers, results.data
        self.on_validation_end.run()
