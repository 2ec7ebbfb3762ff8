"""The stages of a session that are left, trained one after the other."""

from __future__ import annotations

from contextlib import nullcontext

from torchassistant.assembly import Builder
from torchassistant.messages import logger_for
from torchassistant.parallel import World
from torchassistant.session.processes.shared_checkpoints import SharedCheckpoints
from torchassistant.session.saving.checkpoint_manager import CheckpointManager
from torchassistant.session.stages.callbacks_of_session import (
    warn_of_missing_columns,
    with_columns_of,
)
from torchassistant.session.stages.evaluator_keys import expect_monitored, learn_evaluator_keys
from torchassistant.session.stages.loss_keys import check_keys, learn_keys
from torchassistant.session.stages.metric_keys import learn_metric_keys
from torchassistant.session.stages.small_parts import small_parts
from torchassistant.session.stages.stage_beginning import begin_stage
from torchassistant.training import (
    CallbackRun,
    Checkpointer,
    Reporter,
    SharedStop,
    Stage,
    StageHistory,
    StopRequest,
    step_header,
    train_stage,
)

_log = logger_for(__name__)


class RemainingStages:
    """Trains what is left of a session.

    Args:
        builder: Has built its parts.
        manager: Saves it, and knows where the run is.
        callbacks: Those that hear of it.
        world: Who trains it together; None: this process alone.
    """

    def __init__(
        self,
        builder: Builder,
        manager: CheckpointManager,
        callbacks: CallbackRun | None,
        world: World | None,
    ) -> None:
        self.builder = builder
        self.parts = builder.parts
        self.spec = builder.spec
        self.manager = manager
        self.progress = manager.progress
        self.rows = manager.history
        self.callbacks = callbacks
        self.world = world

    def train(self, reporter: Reporter, stop: StopRequest) -> None:
        """Train every stage to its end; all of it is written when this returns.

        Args:
            reporter: Is called when something happens.
            stop: Ends training after the iteration at hand.

        Raises:
            Interrupted: ``stop`` asked for it.
            NotSaved: Training is done, and not all of it could be written.
            Exception: What the training of a stage raises.
        """
        saving: Checkpointer = self.manager
        if self.world is not None and isinstance(stop, SharedStop):
            saving = SharedCheckpoints(self.manager, self.world, stop)
        self._tell_beginning()
        while self.progress.stage < len(self.parts.stages):
            stage = self._begun()
            stages = len(self.parts.stages)
            reporter.stage_started(self.progress, stages, stage.num_epochs)
            rows = StageHistory(self.rows.rows(self.progress.stage), self.progress.stage_step)
            if self.world is not None:
                _warn_of_small_parts(stage, self.world)
                stage = stage.shared_by(self.world)
            with nullcontext() if self.world is None else self.world.processes.explaining():
                train_stage(stage, self.progress, rows, saving, reporter, stop, self.callbacks)
            self._tell_end()
        self.manager.finish()
        if self.world is not None:
            self.world.processes.wait()

    def _begun(self) -> Stage:
        """The stage at hand, begun if it is not yet, and with its columns known."""
        index = self.progress.stage
        stage = self.parts.stages[index]
        if self.callbacks is not None:
            stage = with_columns_of(self.callbacks, stage)
        if not self.progress.has_begun_stage:
            self._begin(index)
            if self.callbacks is not None:
                self.callbacks.start_stage(index)
        learn_keys(self.parts, stage)
        learn_metric_keys(self.parts, stage, self.rows, index)
        own = self.parts.stages[index]
        learn_evaluator_keys(self.parts, self.rows, index, own)
        monitors = [best.monitor for best in self.spec.checkpoints.bests]
        expect_monitored(self.parts, own, monitors)
        warn_of_missing_columns(self.rows, index, self.spec.stage_title(index), stage)
        check_keys(self.rows, index, stage)
        if stage.log is not None:
            self.rows.start_steps(index, step_header(stage))
        return stage

    def _begin(self, index: int) -> None:
        """Do what happens once at the beginning of a stage."""
        source = None
        if self.spec.train.stages[index].start_from is not None:
            self.manager.wait()  # what it starts from may have been saved just now
            if self.world is not None:
                self.world.processes.wait()
            storage = self.manager.storage
            name = self.manager.starts.checkpoint_for(index, storage)
            source = storage.verified(name, with_history=False)
        begin_stage(self.builder, index, source)

    def _tell_beginning(self) -> None:
        """Callbacks hear that training begins, and of the end of a stage that was only stored."""
        if self.callbacks is not None:
            self.manager.callbacks = self.callbacks
            self.callbacks.start_training()
            self._tell_end()

    def _tell_end(self) -> None:
        """Callbacks hear of the end of a stage; that they have is stored too."""
        if self.callbacks is None:
            return
        heard, together = self.callbacks.tell_end(), self.manager.together
        if heard if together is None else together.agreed(heard):
            self.manager.save(quietly=True)


def _warn_of_small_parts(stage: Stage, world: World) -> None:
    if world.is_first and world.parts > 1 and not world.syncs_batch_norm:
        stage.set_training()
        for _, message in small_parts(stage, world.parts):
            _log.warning(message)
