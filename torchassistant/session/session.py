"""A session: everything that a config describes, alive, and the folder that it lives in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from torchassistant.assembly import Builder, Parts
from torchassistant.config import InferenceSpec, Spec, as_data, check_sources, read, validate
from torchassistant.data.rng import set_random_state
from torchassistant.errors import (
    ConfigError,
    Interrupted,
    NotSaved,
    SessionError,
    near,
    shown_path,
)
from torchassistant.messages import logger_for
from torchassistant.session.allowed_differences import excuses, made_anew
from torchassistant.session.append_only_logs import CHANGES, Logs
from torchassistant.session.changes import Change, Code, log_of
from torchassistant.session.checkpoint_bundle import CheckpointBundle
from torchassistant.session.checkpoint_manager import CheckpointManager
from torchassistant.session.checkpoints import Checkpoint
from torchassistant.session.durable_files import as_json, clear_aside
from torchassistant.session.environment import circumstances, differences
from torchassistant.session.history import History
from torchassistant.session.lock import only_trainer
from torchassistant.session.manifest import Fingerprints, of_text
from torchassistant.session.prediction import predict
from torchassistant.session.session_folder import SessionFolder
from torchassistant.session.state import has_weights_of, restore
from torchassistant.session.state_schema import CODE, SPEC
from torchassistant.training import (
    Progress,
    Reporter,
    StageHistory,
    StopRequest,
    evaluate,
    train_stage,
)

_log = logger_for(__name__)

if TYPE_CHECKING:
    import pandas as pd


class Session(Parts):
    """One training run.

    Its parts are mappings by name: ``models``, ``optimizers``, ``datasets``, ``splits``,
    ``preprocessors``, ``collators``, ``loader_factories``, ``losses``, ``metrics``,
    ``batch_processors``, ``batch_graphs``, ``gradient_clippers``, ``backward_hooks``,
    ``forward_hooks``, ``pipelines``. ``stages`` is a list; ``progress`` says how far it has come.

    Args:
        path: The session folder.
        spec: The config, checked and completed.
        seed: What everything random follows from.
        device: The device of the run.
    """

    def __init__(self, path: str | Path, spec: Spec, seed: int, device: torch.device) -> None:
        super().__init__(seed, device)
        self.folder = SessionFolder(path)
        self.spec = spec
        self.progress = Progress()
        self.builder: Builder
        self.logs = Logs(self.folder.path)
        self.rows = History(self.logs)
        self.code: Code = {}
        self.fixed: Fingerprints = {}
        self.changed: list[Change] = []
        self.redrawn: dict[str, list[torch.Tensor]] = {}
        self._restored_from = ""
        self._random: Any = None
        self._unsaved = False
        self._is_fresh = True

    @property
    def path(self) -> Path:
        """The session folder."""
        return self.folder.path

    @property
    def finished(self) -> bool:
        """Whether every stage is done."""
        return self.progress.stage >= len(self.spec.train.stages)

    @property
    def history(self) -> pd.DataFrame:
        """The rows of all stages as a pandas DataFrame, with a column ``stage``."""
        return self.rows.table(len(self.spec.train.stages))

    def restore(self, checkpoint: Checkpoint | None = None, accepted: bool = False) -> None:
        """Put back the state of a checkpoint; left out: of the newest sound one.

        Args:
            checkpoint: Which one.
            accepted: Whether what has no state there begins anew, and what is left over is left.

        Raises:
            SessionError: There is none, or it does not fit the code of the user any more.
        """
        checkpoint = checkpoint or self.folder.sound()
        excused = excuses(checkpoint, self.spec, self.changed, accepted)
        restored = restore(
            checkpoint,
            self,
            excused,
            is_fresh=self._is_fresh,
            made_anew=made_anew(checkpoint, self.spec),
        )
        self.progress, self._random = restored.progress, restored.random
        self.logs = self.folder.logs(checkpoint)
        self.rows = History(self.logs)
        self.fixed = checkpoint.manifest.fixed
        self._restored_from = checkpoint.path.name
        found = list(differences(restored.environment, circumstances(self.device)))
        if found:
            _log.warning(
                f"not all is as it was at step {self.progress.step}, so that the last "
                f"bits of results may differ: {'; '.join(found)}"
            )

    def record(self, contents: CheckpointBundle) -> Fingerprints:
        """Add the user's code to a checkpoint.

        Returns:
            The fingerprint of the file that says how the session was described.
        """
        contents.add_json(CODE, self.code)
        return {SPEC: of_text(as_json(as_data(self.spec)))}

    def train(self, reporter: Reporter | None = None, stop: StopRequest | None = None) -> None:
        """Train until every stage is done. A finished session is left as it is.

        The state is saved after every epoch, or as ``checkpoints`` in the config says, and where
        the run is stopped.

        Args:
            reporter: Hears what happens.
            stop: Ends training after the iteration at hand.

        Raises:
            Interrupted: ``stop`` asked for it; training goes on from the iteration at hand.
            SessionError: Another process trains the session.
            UserCodeError: The user's code raised.
            DataError: The data does not fit the config.
            NotFinite: A loss or a gradient is not finite.
            NotSaved: Training is done, and not all of it could be written.
        """
        with only_trainer(self.folder.environment):
            newest = self.folder.checkpoints.newest_sound()
            if newest.path.name != self._restored_from:
                self._catch_up(newest)
            if not self.finished:
                self._train(newest, reporter or Reporter(), stop or StopRequest())
            elif self._unsaved:
                self._save()

    def _save(self) -> None:
        """Save what could not be saved when it was trained."""
        with closing(self._manager(StopRequest())) as manager:
            manager.keep()
            manager.finish()
        self._unsaved = False
        self._restored_from = self.folder.checkpoints.names()[-1]

    def _catch_up(self, newest: Checkpoint) -> None:
        """Another process has brought the session forward since this one loaded it."""
        if newest.manifest.text(SPEC) != as_json(as_data(self.spec)):
            raise SessionError(f"{shown_path(self.path)} was changed meanwhile; load it again")
        self.restore(newest)

    def _manager(self, stop: StopRequest) -> CheckpointManager:
        return CheckpointManager(
            self,
            self.progress,
            self.rows,
            self.folder.checkpoints,
            self.spec.checkpoints,
            self.fixed,
            self.record,
            stop,
        )

    def _train(self, newest: Checkpoint, reporter: Reporter, stop: StopRequest) -> None:
        self._is_fresh = False
        clear_aside(self.path)
        clear_aside(self.folder.checkpoints.folder)
        self.logs.repair()
        if self._random is not None:
            set_random_state(self._random)
            self._random = None
        with closing(self._manager(stop)) as manager:
            self._begin(manager, newest)
            self._train_on(manager, reporter, stop)

    def _train_on(self, manager: CheckpointManager, reporter: Reporter, stop: StopRequest) -> None:
        stop.hear_of_save(manager.attend)
        try:
            while not self.finished:
                index = self.progress.stage
                stage = self.stages[index]
                self.rows.start(index, stage.header)
                reporter.stage_started(self.progress, len(self.stages), stage.num_epochs)
                rows = StageHistory(self.rows.rows(index), self.progress.stage_step)
                train_stage(stage, self.progress, rows, manager, reporter, stop)
            manager.finish()
        except Interrupted as error:
            raise self._stopped(error, manager, stop) from None
        except NotSaved:
            # What is trained is in memory only: whoever has the session may save it by train().
            self._unsaved = True
            raise
        except BaseException as error:
            self._give_up(error, manager)
            raise
        finally:
            reporter.close()
        self._restored_from = self.folder.checkpoints.names()[-1]

    def _begin(self, manager: CheckpointManager, newest: Checkpoint) -> None:
        """Save what has changed since the session was loaded, before anything is trained."""
        if self.changed or self.redrawn:
            self.fixed = manager.fixed = self.folder.add_splits(
                self.fixed, self.redrawn, self.progress.step
            )
            self.redrawn = {}
            entries = [change.entry(self.progress) for change in self.changed]
            self.logs.add(CHANGES, log_of(entries))
            self.changed = []
            manager.keep()
            manager.finish()
        elif self.progress.step == 0 and not has_weights_of(newest, self):
            # Weights were put in from Python since the session was created.
            manager.keep()
        self.folder.mirror(as_json(as_data(self.spec)))

    def _stopped(
        self, error: Interrupted, manager: CheckpointManager, stop: StopRequest
    ) -> Interrupted:
        """What there is to say of a run that was asked to stop."""
        name = shown_path(self.path)
        hint = f'"train.py {name}" goes on from there'
        if stop.at_once:
            self._restored_from = ""
            hint = hint.replace("from there", "from the last state that was saved")
            return Interrupted(error.signum, f"{error}; {hint}")
        manager.finish()
        self._restored_from = self.folder.checkpoints.names()[-1]
        self._random = manager.random
        step, epoch = self.progress.step, self.progress.epoch
        return Interrupted(
            error.signum,
            f"the state after iteration {step} (epoch {epoch + 1}) is saved in {name}; {hint}",
        )

    def _give_up(self, error: BaseException, manager: CheckpointManager) -> None:
        """What is alive is in the middle of an iteration; put back what is saved."""
        manager.wait()
        try:
            self.restore(self.folder.checkpoints.newest_sound())
        except SessionError as failure:
            error.add_note(f"afterwards the saved state could not be put back: {failure}")

    def evaluate(
        self,
        pipelines: Sequence[str] | None = None,
        eval_steps: float | dict[str, Any] = 1.0,
        reporter: Reporter | None = None,
        stop: StopRequest | None = None,
    ) -> dict[str, float]:
        """Losses and metrics of pipelines, by display name.

        Args:
            pipelines: Names; left out: the validation pipelines of the last stage.
            eval_steps: A count of batches or a fraction of them, or a table of those by name.
            reporter: Hears of every batch.
            stop: Ends the evaluation early.

        Raises:
            ConfigError: There is no such pipeline.
        """
        names = list(self.spec.default_validation if pipelines is None else pipelines)
        self._check_evaluation(names)
        results: dict[str, float] = {}
        reporter = reporter or Reporter()
        try:
            for name in names:
                steps = eval_steps.get(name, 1.0) if isinstance(eval_steps, dict) else eval_steps
                results |= evaluate(self.pipelines[name], steps, reporter, stop)
        finally:
            reporter.close()
        return results

    def _check_evaluation(self, names: Sequence[str]) -> None:
        owner: dict[str, str] = {}
        for name in names:
            if name not in self.pipelines:
                raise ConfigError(f'no pipeline is named "{name}"{near(name, self.pipelines)}')
            for shown in self.pipelines[name].display_names:
                other = owner.setdefault(shown, name)
                if other != name:
                    raise ConfigError(
                        f'"{shown}" is shown by "{other}" and by "{name}"; '
                        "give one another display name"
                    )

    def infer(self, *inputs: str, **options: Any) -> list[Any]:
        """Predictions, one for each input (for each group of inputs, where the ports are several).

        Args:
            inputs: Texts, as on the command line; a folder stands for the files in it, sorted.
            options: Keys of an inference config: ``inference_pipeline``, ``inputs_meta``,
                ``results``, ``post_processor``.

        Raises:
            ConfigError: The options do not fit the session.
            NotPredicted: There is no prediction for some of several inputs; its ``predictions`` are
                all, each with its ``input``, and with its ``result`` or ``error``.
            DataError: The inputs do not fit the pipeline.
            UserCodeError: The user's code raised for the only input.
        """
        diagnostics = read({"session_dir": str(self.path), **options}, block=InferenceSpec)
        spec = validate(InferenceSpec, diagnostics.tree, diagnostics)
        if spec is not None:
            check_sources(spec, diagnostics)
        diagnostics.raise_if_any()
        assert spec is not None, "what is past repair has problems"
        return predict(self, self.builder, spec, inputs)
