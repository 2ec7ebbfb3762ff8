"""The validation pipelines of a stage, run after each epoch, and its evaluators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from torchassistant.errors import Interrupted
from torchassistant.graph import buffers_of
from torchassistant.training.evaluation.evaluator import Evaluator
from torchassistant.training.events import Listener, Phase, Phases
from torchassistant.training.losses.metric_values import Results
from torchassistant.training.progress import SaveRequested, StopRequest
from torchassistant.training.stage import Checkpointer, Stage
from torchassistant.training.stage_evaluator import StageEvaluator, states_of_evaluators


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured for a row.

    Args:
        pipelines: The results of each validation pipeline, by its name; empty where none was run.
        evaluators: Those of evaluators, by column; only of those that were run.
    """

    pipelines: Mapping[str, Results] = field(default_factory=dict)
    evaluators: Mapping[str, float] = field(default_factory=dict)


class Validation:
    """Evaluates the validation pipelines of a stage, again and again.

    Args:
        stage: Whose.
        checkpointer: Saves the state in the middle of it, where somebody asks for that.
        stop: Knows what was asked for.
        listeners: Of evaluations and batches.
        noting: Notes what callbacks keep, and gives what puts it back.
    """

    def __init__(
        self,
        stage: Stage,
        checkpointer: Checkpointer,
        stop: StopRequest,
        listeners: Sequence[Listener],
        noting: Callable[[], Callable[[], None]] | None = None,
    ) -> None:
        self.stage = stage
        self.checkpointer = checkpointer
        self.stop = stop
        self.listeners = listeners
        self.noting = noting
        self.phases = Phases(listeners)
        self.evaluators = [
            Evaluator(pipeline, self, listeners, stage.world) for pipeline in stage.validation
        ]

    def run_at_end(
        self, epoch: int, iterations: int, is_done: bool = False, is_last: bool = False
    ) -> Measured:
        """What is due at the end of an epoch of the stage; see :meth:`run`.

        Args:
            epoch: Counted from 1.
            iterations: So many of the stage are done.
            is_done: Whether the pipelines were run already, after the same iteration.
            is_last: Whether they are run whatever the plan, as a callback ends the stage.
        """
        evaluators = [one for one in self.stage.evaluators if one.is_due(epoch)]
        is_due = is_last or self.stage.validates.is_due_at_end(epoch, iterations)
        if is_done or not is_due:
            return self.run([], evaluators) if evaluators else Measured()
        return self.run(None, evaluators)

    def run(
        self,
        pipelines: Sequence[Evaluator] | None = None,
        evaluators: Sequence[StageEvaluator] = (),
    ) -> Measured:
        """The results of pipelines, and then of evaluators.

        Where validation is left, it is run again: what a model changes in eval mode must not be
        changed twice, nor the state of an evaluator.

        Args:
            pipelines: Left out: every one.
            evaluators: Those that are due.

        Raises:
            Interrupted: The run is to stop.
        """
        running = self.evaluators if pipelines is None else pipelines
        for pipeline in (one.pipeline for one in running):
            for bring_up_to_date in pipeline.graph.before_evaluation:
                with self.phases.during(Phase.VALIDATION):
                    bring_up_to_date(self.stop)
        restore = self._noted(running, evaluators)
        while True:
            try:
                results = {one.pipeline.name: self._evaluate(one) for one in running}
                return Measured(results, self._measured(evaluators))
            except Interrupted:
                restore()
                raise
            except SaveRequested:
                restore()
                with self.phases.during(Phase.CHECKPOINT):
                    self.checkpointer.save()

    def _noted(
        self, running: Sequence[Evaluator], evaluators: Sequence[StageEvaluator]
    ) -> Callable[[], None]:
        """Notes what a validation that is left must not have changed; puts that back."""
        restores = [
            buffers_of(m for one in running for m in one.pipeline.reached),
            states_of_evaluators(evaluators),
        ]
        if self.noting is not None:
            restores.append(self.noting())

        def restore() -> None:
            for put_back in restores:
                put_back()

        return restore

    def _evaluate(self, evaluator: Evaluator) -> Results:
        with self.phases.during(Phase.VALIDATION):
            return evaluator.run(self.stage.eval_steps.get(evaluator.pipeline.name, 1.0))

    def _measured(self, evaluators: Sequence[StageEvaluator]) -> dict[str, float]:
        results: dict[str, float] = {}
        world = self.stage.world
        for evaluator in evaluators:
            with self.phases.during(Phase.VALIDATION):
                if world is None or not evaluator.only_first:
                    results |= evaluator.run(self, self.listeners)
                elif world.is_first:
                    results |= evaluator.run(self.stop, self.listeners)
        return results if world is None else world.processes.first(results)

    def check(self) -> None:
        """Raise where the run is to stop, or the state to be saved, before validation is done."""
        self.stop.agree()
        self.stop.check()
        if self.stop.save_asked and self.checkpointer.is_save_requested():
            raise SaveRequested

    def close(self) -> None:
        """End what loads the data."""
        with ExitStack() as stack:
            for evaluator in self.evaluators:
                stack.enter_context(closing(evaluator))
