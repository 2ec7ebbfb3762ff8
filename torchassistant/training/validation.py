"""The validation pipelines of a stage, run after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing

from torchassistant.errors import Interrupted
from torchassistant.graph import buffers_of
from torchassistant.training.evaluation import Evaluator
from torchassistant.training.events import Listener, Phase, Phases
from torchassistant.training.metric_values import Results
from torchassistant.training.progress import SaveRequested, StopRequest
from torchassistant.training.stage import Checkpointer, Stage


class Validation:
    """Evaluates the validation pipelines of a stage, again and again.

    Args:
        stage: Whose.
        checkpointer: Saves the state in the middle of it, where somebody asks for that.
        stop: Knows what was asked for.
        listeners: Of evaluations and batches.
    """

    def __init__(
        self,
        stage: Stage,
        checkpointer: Checkpointer,
        stop: StopRequest,
        listeners: Sequence[Listener],
    ) -> None:
        self.stage = stage
        self.checkpointer = checkpointer
        self.stop = stop
        self.phases = Phases(listeners)
        self.evaluators = [Evaluator(pipeline, self, listeners) for pipeline in stage.validation]

    def run(self) -> dict[str, Results]:
        """The results of each pipeline, by its name.

        Where validation is left, it is run again: what a model changes in eval mode must not be
        changed twice.

        Raises:
            Interrupted: The run is to stop.
        """
        for pipeline in self.stage.validation:
            for bring_up_to_date in pipeline.graph.before_evaluation:
                with self.phases.during(Phase.VALIDATION):
                    bring_up_to_date(self.stop)
        restore_buffers = buffers_of(
            m for pipeline in self.stage.validation for m in pipeline.reached
        )
        while True:
            try:
                return {e.pipeline.name: self._evaluate(e) for e in self.evaluators}
            except Interrupted:
                restore_buffers()
                raise
            except SaveRequested:
                restore_buffers()
                with self.phases.during(Phase.CHECKPOINT):
                    self.checkpointer.save()

    def _evaluate(self, evaluator: Evaluator) -> Results:
        with self.phases.during(Phase.VALIDATION):
            return evaluator.run(self.stage.eval_steps.get(evaluator.pipeline.name, 1.0))

    def check(self) -> None:
        """Raise where the run is to stop, or the state to be saved, before validation is done."""
        self.stop.check()
        if self.stop.save_asked and self.checkpointer.is_save_requested():
            raise SaveRequested

    def close(self) -> None:
        """End what loads the data."""
        with ExitStack() as stack:
            for evaluator in self.evaluators:
                stack.enter_context(closing(evaluator))
