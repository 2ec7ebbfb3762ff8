"""Who runs now: how the training pipelines of a stage take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torchassistant.errors import DataError, listing
from torchassistant.training.loop.pipeline_trainer import PipelineTrainer
from torchassistant.training.loop.stage_length import governing
from torchassistant.training.loop.turn_trainer import TurnTrainer
from torchassistant.training.progress import Progress
from torchassistant.training.stage import Stage
from torchassistant.training.turns import SHORTEST


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

    @property
    def is_known_to_be_over(self) -> bool:
        """Whether it is known, without loading anything, that no pipeline has a batch left."""
        return all(trainer.is_known_to_be_through for trainer in self.running)


class Between:
    """An epoch in which something may be done before each iteration, and may end it there.

    Args:
        interleaving: Runs the iterations.
        is_due: Whether something is to be done before the next one; no more once it is done.
        act: Does it; gives whether the epoch ends there.
    """

    def __init__(
        self,
        interleaving: Interleaving | Turns | Between,
        is_due: Callable[[], bool],
        act: Callable[[], bool],
    ) -> None:
        self.interleaving = interleaving
        self.is_due = is_due
        self.act = act

    def run_iteration(self, number: int) -> bool:
        """See the other classes here."""
        if self.is_due() and not self.interleaving.is_known_to_be_over and self.act():
            return False
        return self.interleaving.run_iteration(number)

    @property
    def is_known_to_be_over(self) -> bool:
        """See the other classes here."""
        return self.interleaving.is_known_to_be_over


class Turns:
    """The rest of an epoch in which pipelines run in some iterations only, or several times.

    Args:
        stage: Says what ends an epoch.
        trainers: In the order in which an iteration runs them.
        progress: Where the run is. Where it was stopped within an iteration, the pipelines say how
            many steps of it they have done.
    """

    def __init__(self, stage: Stage, trainers: Sequence[TurnTrainer], progress: Progress) -> None:
        self.length = stage.epoch_length
        self.trainers = trainers
        self.progress = progress
        self.is_under_way = any(trainer.progress.steps for trainer in trainers)
        self.governing = [trainers[index] for index in governing(stage)]
        is_linked = any(trainer.sources for trainer in trainers)
        if is_linked or any(trainer.looks_ahead for trainer in self.governing):
            # What one pipeline has met and another needs is not stored, and what was loaded ahead
            # may have drawn random numbers: the iteration has to be finished.
            for trainer in trainers:
                trainer.data_pass.can_be_left = False
        self.may_run_out = not any(turn.restarts for turn in stage.all_turns)

    def run_iteration(self, number: int) -> bool:
        """Let each pipeline whose turn it is make its steps.

        Args:
            number: Of the iteration, over all stages, from 1.

        Returns:
            Whether there was an iteration; False where the epoch is over.

        Raises:
            DataError: The epoch is not over, and there is no data left for it.
        """
        due = {trainer for trainer in self.trainers if self._is_due(trainer)}
        if not self.is_under_way and self._is_over(due):
            return False
        self.is_under_way = False
        for trainer in self.trainers:
            if trainer in due:
                trainer.take_turn(number)
        for trainer in self.trainers:
            trainer.progress.steps = 0
        return True

    def _is_due(self, trainer: TurnTrainer) -> bool:
        within = self.progress.within
        assert within is not None, "an epoch is under way"
        return trainer.is_due(self.progress.stage_step, within.iterations)

    def _is_over(self, due: set[TurnTrainer]) -> bool:
        if isinstance(self.length, int):
            within = self.progress.within
            assert within is not None, "an epoch is under way"
            if within.iterations >= self.length:
                return True
            if self.may_run_out:
                self._expect_data(due)
            return False
        through = (trainer.is_through(trainer in due) for trainer in self.governing)
        return any(through) if self.length == SHORTEST else all(through)

    @property
    def is_known_to_be_over(self) -> bool:
        """Whether it is known, without loading anything, that the epoch is over."""
        if isinstance(self.length, int):
            within = self.progress.within
            return within is not None and within.iterations >= self.length
        through = (trainer.is_known_to_be_through for trainer in self.governing)
        return any(through) if self.length == SHORTEST else all(through)

    def _expect_data(self, due: set[TurnTrainer]) -> None:
        """Expect that a pipeline of the stage has a batch left."""
        if all(trainer.is_through(trainer in due) for trainer in self.trainers):
            names = [trainer.pipeline.name for trainer in self.trainers]
            raise DataError(
                f"the data of the stage has run out before its end: {listing(names)}; "
                '"when_exhausted": "restart" begins a new pass, of a stream if it has a state_dict '
                "and a load_state_dict"
            )
