"""Training over one pipeline that takes turns: several steps at once, and pass after pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchassistant.frames import Frames
from torchassistant.training.events import Listener
from torchassistant.training.linked_input import LinkedInput
from torchassistant.training.loop.pipeline_trainer import PipelineTrainer
from torchassistant.training.pipeline import Pipeline
from torchassistant.training.progress import PassProgress, Progress, StopRequest
from torchassistant.training.stage import Stage
from torchassistant.training.turns import Turn


class TurnTrainer(PipelineTrainer):
    """Trains over one pipeline, a turn in each iteration in which it runs.

    Args:
        pipeline: What is trained.
        stage: The stage that it is trained in.
        stop: Knows whether the run waits for data.
        listeners: Of steps.
        run: Where the run is.
        turn: When it runs, and how often.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        stage: Stage,
        stop: StopRequest,
        listeners: Sequence[Listener],
        run: Progress,
        turn: Turn,
    ) -> None:
        super().__init__(pipeline, stage, stop, listeners, run)
        self.turn = turn
        self.next_pass = run.next_pass
        self.goes_on = isinstance(stage.epoch_length, int)
        self.known_length = self.data.known_length()
        self._next_of_pass, self.next_batch = self.next_batch, self._next_batch
        self._waits_to_go_on = False
        self._ahead: Frames | None = None
        self._is_under_way = False
        self._piece = 0
        self.sources: list[tuple[LinkedInput, TurnTrainer]] = []

    def link(self, trainers: Mapping[str, TurnTrainer]) -> None:
        """Look up what feeds its ports among the trainers of the stage, by name."""
        self.sources = [(link, trainers[link.pipeline]) for link in self.pipeline.links]

    def start_pass(self, progress: PassProgress) -> None:
        """A pass that has gone on from the epoch before is under way already."""
        if not self._is_under_way:
            super().start_pass(progress)
            self._is_under_way = True

    def start_data(self, progress: PassProgress) -> None:
        """A pass goes on when the next batch is wanted.

        Where none is, as its epoch is over by number, what the sampler or stream has drawn since
        the pass began stays drawn.
        """
        self._waits_to_go_on = progress.batches > 0
        if not self._waits_to_go_on:
            super().start_data(progress)

    def data_state(self) -> Any:
        """See :meth:`PipelineTrainer.data_state`."""
        return self.progress.data if self._waits_to_go_on else super().data_state()

    def _load(self) -> Frames | None:
        if self._waits_to_go_on:
            self._waits_to_go_on = False
            super().start_data(self.progress)
        return self._next_of_pass()

    def leave_pass(self, is_whole: bool = False) -> None:
        """The epoch is done; its pass too, unless passes go on over the epochs."""
        if not (is_whole and self.goes_on):
            super().leave_pass()
            self._ahead = None
            self._is_under_way = self._waits_to_go_on = False

    def is_due(self, of_stage: int, of_epoch: int) -> bool:
        """Whether it runs in an iteration, by its numbers in stage and epoch, from 0."""
        return self.turn.is_in(of_epoch if self.turn.by_epoch else of_stage)

    def take_turn(self, iteration: int) -> None:
        """Make the steps of one iteration, as far as there are batches for them."""
        progress = self.progress
        if not all(source.progress.steps for _, source in self.sources):
            return
        while progress.steps < self.turn.repeat and not progress.done and self.step(iteration):
            progress.steps += 1

    @property
    def looks_ahead(self) -> bool:
        """Whether it may load a batch in this process to find out whether there is one."""
        return self.known_length is None and not self.data.can_be_left

    def has_batch(self) -> bool:
        """Whether its pass has a batch left; where nobody knows, that is loaded now."""
        if self.progress.done:
            return False
        if self.known_length is not None:
            return self.progress.batches < self.known_length
        if self._ahead is None:
            self._ahead = self._load()
        return self._ahead is not None

    def is_through(self, is_due: bool) -> bool:
        """Whether a pass of this epoch is done.

        Args:
            is_due: Whether it runs in the next iteration: what it does not run in needs no batch.
        """
        progress = self.progress
        if progress.rounds or progress.done:
            return True
        if any(source.is_exhausted for _, source in self.sources):
            return True
        return (is_due or self.known_length is not None) and not self.has_batch()

    @property
    def is_exhausted(self) -> bool:
        """Whether it makes no more step in this epoch."""
        if any(source.is_exhausted for _, source in self.sources):
            return True
        is_known = self.known_length is not None
        is_over = self.progress.done or (is_known and not self.has_batch())
        return is_over and not self.turn.restarts

    @property
    def is_known_to_be_through(self) -> bool:
        """Whether it is known, without loading anything, that a pass of this epoch is done."""
        if self.progress.rounds or any(source.is_exhausted for _, source in self.sources):
            return True
        return super().is_known_to_be_through

    @property
    def gave_nothing(self) -> bool:
        """Whether its data has no batch."""
        if self.sources or self.progress.rounds:
            return False
        return super().gave_nothing and not self.has_batch()

    def _next_batch(self) -> Frames | None:
        frames, self._ahead = self._ahead, None
        if frames is None:
            frames = self._load()
        if frames is not None:
            for link, source in self.sources:
                met = source.train_step.frames_of(self._piece)
                link.feed(frames, met, source.pipeline.graph)
            self._piece = (self._piece + 1) % self.pieces
        return frames

    def _step(self, iteration: int) -> bool:
        if super()._step(iteration):
            return True
        if not self.turn.restarts or not self.progress.batches:
            return False
        self._restart()
        return super()._step(iteration)

    def _restart(self) -> None:
        """Begin a new pass, with a new order."""
        progress = self.progress
        self.leave_pass()
        progress.batches, progress.done, progress.data = 0, False, None
        progress.carry = {}
        progress.rounds += 1
        progress.number = self.next_pass(self.pipeline.name)
        self.is_resumed_when_done = False
        self.start_pass(progress)
