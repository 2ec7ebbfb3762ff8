"""A session in memory and in its folder: built, put back, trained and saved, so that both agree."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torchassistant.assembly import Parts, code_of, set_mode_of_condition
from torchassistant.callbacks import Callback
from torchassistant.compat.python import with_stack_room
from torchassistant.config import as_data
from torchassistant.data import derived, random_state, seeded, set_random_state
from torchassistant.errors import (
    EndedElsewhere,
    Interrupted,
    NotSaved,
    SessionError,
    shown_path,
)
from torchassistant.messages import logger_for
from torchassistant.parallel import Processes, World
from torchassistant.session.building.build_plan import BuildPlan
from torchassistant.session.changes.allowed_differences import made_anew, may_differ_from
from torchassistant.session.changes.changes import Change, Code
from torchassistant.session.changes.pending import Pending
from torchassistant.session.checkpoints.state_schema import CODE, SPEC
from torchassistant.session.checkpoints.storage import Checkpoint
from torchassistant.session.files.append_only_logs import Logs
from torchassistant.session.files.durable_files import as_json, clear_aside
from torchassistant.session.files.manifest import Fingerprints, of_text
from torchassistant.session.folder.environment import circumstances, created, differences
from torchassistant.session.folder.lock import only_trainer
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.history.history import History
from torchassistant.session.processes.shared_checkpoints import FollowingManager, SavingTogether
from torchassistant.session.processes.shared_training import (
    part_states,
    set_threads,
    warn_of_other_parts,
    world_of,
)
from torchassistant.session.saving.checkpoint_manager import CheckpointManager, Snapshot
from torchassistant.session.saving.stage_starts import StageStarts
from torchassistant.session.stages.callbacks_of_session import callback_run
from torchassistant.session.stages.remaining_stages import RemainingStages
from torchassistant.session.state.state import changed_weights, restore, snapshot
from torchassistant.session.views.best_so_far import best_so_far
from torchassistant.session.views.notebook_progress import default_reporter
from torchassistant.training import (
    CallbackRun,
    Progress,
    Reporter,
    Reporters,
    SharedStop,
    StopRequest,
)

_log = logger_for(__name__)


@dataclass(slots=True)
class Saved:
    """What of a session is saved.

    Args:
        name: The checkpoint that holds what is in memory; empty where none does.
        checkpoint: The same, where it was read, and so is verified.
        files: The fingerprints of the files of the session that never change.
        lacks_end: Whether the end of the training is in memory only, as it could not be written.
    """

    name: str = ""
    checkpoint: Checkpoint | None = None
    files: Fingerprints = field(default_factory=dict)
    lacks_end: bool = False


class StoredSession(Parts):
    """What is alive of a session, and what its folder holds of that.

    All of it is built here: only a ``factory_fn``, which is called meanwhile, sees a part of it.
    It is at its beginning then; :meth:`restore` takes it to where a checkpoint is.

    Args:
        folder: The session folder; of a new session, the one that it is for.
        plan: How its parts are built.
        code: The source of the user's code, where it was gathered already.
        changes: What is not as it was when the session was saved.

    Raises:
        SessionError: Its config has no seed.
    """

    def __init__(
        self,
        folder: SessionFolder,
        plan: BuildPlan,
        code: Code | None = None,
        changes: Sequence[Change] = (),
    ) -> None:
        if plan.spec.seed is None:
            raise SessionError(f"{shown_path(folder.path)} has no seed in its spec.json")
        devices = plan.devices()
        super().__init__(plan.spec.seed, devices.base)
        self.folder = folder
        self.spec = plan.spec
        self._code = code
        self.progress = Progress()
        self.logs = Logs(folder.path)
        self.rows = History(self.logs)
        self._saved = Saved()
        self._random: Any = None
        """With this state of the random number generators training goes on."""
        self._has_trained = False
        self._environment: dict[str, Any] = {}
        """Under what the state was saved that it was restored from."""
        self._part_states: dict[str, list[Any]] = {}
        """What objects have kept for each part of a batch, by id."""
        self.world: World | None = None
        """Who trains it together just now."""
        self._is_whole = True
        """Whether all of it is built, so that it can be trained."""
        self._shares_models = plan.shares_models
        self._speaks = plan.processes.is_first
        """Whether what is said of it here is not said elsewhere too."""
        self._callback_state: dict[str, Any] = {}
        """What is stored of callbacks beside the state of their objects."""
        self._callbacks: CallbackRun | None = None
        """Those that it is trained with just now."""
        known = dict(plan.fitted.splits)
        self.builder = plan.build(self, devices, folder.path)
        splits = plan.fitted.splits
        drawn = {name: found for name, found in splits.items() if found is not known.get(name)}
        self._pending = Pending(changes, drawn, dict(self.weights))

    @property
    def path(self) -> Path:
        """The session folder."""
        return self.folder.path

    @cached_property
    def _spec_text(self) -> bytes:
        """The config as it stands in files; it stays as it is as long as there is the session."""
        return as_json(as_data(self.spec))

    @property
    def code(self) -> Code:
        """The source of the user's code; gathered when it is asked for first."""
        if self._code is None:
            self._code = code_of(self.spec, self.builder.maker.allowlist)
        return self._code

    @property
    def finished(self) -> bool:
        """Whether every stage is done."""
        return self.progress.stage >= len(self.spec.train.stages)

    def write_new(self, folder: SessionFolder) -> None:
        """Write a new session, and read it back: what cannot be put back must not become one.

        Args:
            folder: Where it is written; it may get the name of the session's own afterwards.

        Raises:
            SessionError: The state cannot be stored, or not be put back.
            OSError: It could not be written.
        """
        self._saved.files = folder.create(
            self.spec, self.builder.fitted, created(self.seed, self.device), self.weights
        )
        self._pending = Pending()
        with seeded(derived(self.seed, "training")):
            bundle, session = self._snapshot(random_state())
        folder.storage.save(0, bundle, session)
        self.restore(folder.verified())
        self._saved.checkpoint = None  # its folder may get another name

    def restore(self, checkpoint: Checkpoint | None = None, accepted: bool = False) -> None:
        """Put back the state of a checkpoint; left out: of the newest that is not damaged.

        Args:
            checkpoint: Which one.
            accepted: Whether what has no state there begins anew, and what is left over is left.

        Raises:
            SessionError: There is none, or it does not fit the code of the user any more.
        """
        checkpoint = checkpoint or self.folder.verified()
        may_differ = may_differ_from(checkpoint, self.spec, self._pending.changes, accepted)
        restored = restore(
            checkpoint,
            self,
            may_differ,
            is_fresh=not self._has_trained,
            made_anew=made_anew(checkpoint, self.spec),
        )
        self.progress, self._random = restored.progress, restored.random
        self._environment = restored.environment
        self._part_states = restored.parts
        self._callback_state = restored.callbacks
        self.logs = self.folder.logs(checkpoint)
        self.rows = History(self.logs)
        self._saved = Saved(checkpoint.name, checkpoint, checkpoint.manifest.fixed)
        found = list(differences(restored.environment, circumstances(self.device)))
        if found and self._speaks:
            _log.warning(
                f"the environment differs from that at step {self.progress.step}, so the last bits "
                f"of results may differ: {'; '.join(found)}"
            )

    def restore_results(self, checkpoint: Checkpoint) -> None:
        """Put back of a checkpoint what takes part in results, into what is built of the session.

        Args:
            checkpoint: Which one.

        Raises:
            SessionError: It does not fit the code of the user any more.
        """
        may_differ = may_differ_from(checkpoint, self.spec)
        anew = made_anew(checkpoint, self.spec)
        restored = restore(checkpoint, self, may_differ, weights_only=True, made_anew=anew)
        self.progress = restored.progress
        self.logs = self.folder.logs(checkpoint)
        self.rows = History(self.logs)
        self._is_whole = False

    def know_weights(self, checkpoint: Checkpoint) -> None:
        """Learn what became of the weights that models began with; some were read just now.

        Args:
            checkpoint: Of the session.
        """
        self.weights = {**self.folder.taken_weights(checkpoint), **self.weights}

    def try_from(self, progress: Progress) -> None:
        """Stand at another place of the run, for training of which nothing is kept.

        Args:
            progress: Where; brought forward by that training.
        """
        self.progress = progress

    def _snapshot(self, random: Any) -> Snapshot:
        """A copy of the state as it is now, with the user's code."""
        run = self._callbacks
        callbacks = self._callback_state if run is None else run.state()
        environment = circumstances(self.device)
        if self.world is not None:
            environment["processes"] = self.world.processes.size
            if self.world.states is not None:
                self._part_states = self.world.states.whole
        bundle = snapshot(self, self.progress, random, environment, callbacks, self._part_states)
        bundle.add_json(CODE, self.code)
        described = {SPEC: of_text(self._spec_text)}
        return Snapshot(bundle, {**self._saved.files, **described})

    def meet(self, processes: Processes | None) -> World | None:
        """Be trained by these processes from now on; returns when all are here.

        Args:
            processes: They; None: this one alone.

        Returns:
            They, and how they cut batches; None: they are not cut.

        Raises:
            ConfigError: So many cannot share what they are to.
            SessionError: It was not loaded for them.
        """
        self.world = world = world_of(self.spec, processes, self.device)
        if self._shares_models is not (world is not None and world.shares_models):
            raise SessionError(
                'with the strategy "fsdp", a session is loaded by each of the processes that train '
                "it, and with them: load_session(…, processes=…)"
            )
        if world is not None:
            set_threads(world, self.spec, self._environment)
            world.states = part_states(self, world, self._part_states)
            warn_of_other_parts(self.stages, world, self.spec, self._environment)
            world.processes.wait()
        return world

    def _train(
        self,
        reporter: Reporter | None,
        stop: StopRequest,
        callbacks: Sequence[Callback | Reporter],
        processes: Processes | None,
    ) -> None:
        """See :meth:`Session.train`."""
        if not self._is_whole:
            raise SessionError(
                f"only a part of {shown_path(self.path)} was loaded: load all of it to train it"
            )
        first = processes is None or processes.is_first
        with only_trainer(self.folder.environment) if first else nullcontext():
            world = self.meet(processes)
            newest = self.folder.checkpoints.newest(self._saved.checkpoint)
            if newest.name != self._saved.name:
                self._catch_up(newest)
            for one in callbacks:
                set_mode_of_condition(self.builder, one, self.pipelines)
            self._callbacks = run = callback_run(
                self, self.spec, self.progress, callbacks, self._callback_state, first
            )
            try:
                if not self.finished or (run is not None and run.untold is not None):
                    whole = self._reporter(reporter, callbacks)
                    with_stack_room(lambda: self._train_left(newest, whole, stop))
                elif self._saved.lacks_end:
                    self._save()
                elif not self._pending.changes:
                    self._repair()
                if world is not None:
                    world.processes.wait()  # until the first one has written all
            finally:
                self._callbacks = None

    def _reporter(self, given: Reporter | None, callbacks: Sequence[object]) -> Reporter:
        """Who shows the progress, and whoever else only reports."""
        first = given
        if first is None:
            best = best_so_far(self, self.spec, self.rows)
            first = default_reporter(self.spec.stage_labels, best)
        others = [one for one in callbacks if isinstance(one, Reporter)]
        return Reporters(first, *others) if others else first

    def _save(self) -> None:
        """Save what could not be saved when it was trained."""
        with closing(self._manager(StopRequest())) as manager:
            manager.save()
            manager.finish()
        self._note_saved()

    def _repair(self) -> None:
        """What a process left that died when all was trained, and not all of it was written."""
        with closing(self._manager(StopRequest())) as manager:
            manager.begin()
            manager.finish()

    def _note_saved(self) -> None:
        """What is in memory is saved by now, in the newest checkpoint."""
        self._saved = Saved(self.folder.storage.names()[-1], files=self._saved.files)
        self._note_callbacks()

    def _note_callbacks(self) -> None:
        """What is in memory of callbacks is what a later call of ``train`` goes on from."""
        if self._callbacks is not None:
            self._callback_state = copy.deepcopy(self._callbacks.state())

    def _catch_up(self, newest: Checkpoint) -> None:
        """Another process has brought the session forward since this one loaded it."""
        if newest.manifest.text(SPEC) != self._spec_text:
            raise SessionError(f"{shown_path(self.path)} was changed meanwhile; load it again")
        self.restore(newest)

    def _manager(self, stop: StopRequest) -> CheckpointManager:
        starts = StageStarts(self.spec, self.rows)
        is_following = self.world is not None and not self.world.is_first
        kind = FollowingManager if is_following else CheckpointManager
        manager = kind(
            self._snapshot,
            self.progress,
            self.rows,
            self.folder,
            self.spec.checkpoints,
            stop,
            starts,
        )
        if self.world is not None and self.world.shares_models:
            manager.together = SavingTogether(self.world.processes, self.folder.storage)
        return manager

    def _train_left(self, newest: Checkpoint, reporter: Reporter, stop: StopRequest) -> None:
        self._has_trained = True
        world = self.world
        if world is None or world.is_first:
            clear_aside(self.path)
            self.folder.storage.clear_unfinished()
            self.logs.repair()
        if world is not None and world.processes.size > 1:
            stop = SharedStop(stop, world)
        if self._random is not None:
            set_random_state(self._random)
            self._random = None
        with closing(self._manager(stop)) as manager:
            self._begin(manager, newest)
            manager.begin()
            if world is not None:
                world.processes.wait()
            self._saved.checkpoint = None  # it may be removed, or damaged, while this goes on
            self._train_on(manager, reporter, stop)

    def _train_on(self, manager: CheckpointManager, reporter: Reporter, stop: StopRequest) -> None:
        stop.on_save_request(manager.notify)
        try:
            left = RemainingStages(self.builder, manager, self._callbacks, self.world)
            left.train(reporter, stop)
        except Interrupted as error:
            stopped = self._stopped(error, manager, stop)
            self._tell_of(stopped)
            raise stopped from None
        except NotSaved as error:
            # What is trained is in memory only: whoever has the session may save it by train().
            self._saved.lacks_end = True
            self._note_callbacks()
            self._tell_of(error)
            raise
        except EndedElsewhere:
            raise
        except BaseException as error:
            self._tell_of(error)
            self._give_up(error, manager)
            raise
        finally:
            reporter.close()
        self._note_saved()

    def _tell_of(self, error: BaseException) -> None:
        """Callbacks hear of what ends the training."""
        if self._callbacks is not None:
            self._callbacks.raised(error)

    def _begin(self, manager: CheckpointManager, newest: Checkpoint) -> None:
        """Save what has changed since the session was loaded, before anything is trained."""
        pending, world = self._pending, self.world
        if world is not None and not world.is_first:
            self._pending = Pending()
            if world.shares_models and pending.is_any:
                manager.save()
            return
        if pending.is_any:
            known = self._saved.files
            self._saved.files = pending.write(self.folder, self.logs, known, self.progress)
            self._pending = Pending()
            manager.save()
            manager.finish()
        elif (
            not self._shares_models
            and self.progress.step == 0
            and (changed := changed_weights(newest, self))
        ):
            # Weights were put in from Python since the session was created.
            for name, average in self.averages.items():
                if name not in changed:
                    average.reset()
            manager.save()
        self.folder.mirror(self._spec_text)

    def _stopped(
        self, error: Interrupted, manager: CheckpointManager, stop: StopRequest
    ) -> Interrupted:
        """What there is to say of a run that was asked to stop."""
        name = shown_path(self.path)
        hint = f'"train.py {name}" resumes from there'
        if stop.at_once:
            self._saved.name = ""
            hint = hint.replace("from there", "from the last checkpoint")
            return Interrupted(error.signum, f"{error}; {hint}")
        manager.finish()
        if self.world is not None:
            self.world.processes.wait()
        self._note_saved()
        self._random = manager.random
        step, epoch = self.progress.step, self.progress.epoch
        return Interrupted(
            error.signum,
            f"the state after iteration {step} (epoch {epoch + 1}) is saved in {name}; {hint}",
        )

    def _give_up(self, error: BaseException, manager: CheckpointManager) -> None:
        """What is alive is in the middle of an iteration; put back what is saved."""
        manager.wait()
        if self._shares_models:
            self._is_whole = False  # nobody can tell which rows are where
            return
        try:
            self.restore(self.folder.checkpoints.newest())
        except SessionError as failure:
            error.add_note(f"afterwards the saved state could not be put back: {failure}")
