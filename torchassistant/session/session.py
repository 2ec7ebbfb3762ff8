"""A session: everything that a config describes, alive, and the folder that it lives in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from torchassistant.build import Builder, Parts
from torchassistant.config import InferenceSpec, Spec, check_sources, read, validate
from torchassistant.data.randomness import set_random_state
from torchassistant.errors import ConfigError, Interrupted, SessionError, near, shown_path
from torchassistant.session.checkpoints import holds_weights_of, restore
from torchassistant.session.folder import SessionFolder
from torchassistant.session.lock import only_trainer
from torchassistant.session.prediction import predict
from torchassistant.training import (
    Progress,
    Reporter,
    Row,
    StageHistory,
    StopRequest,
    evaluate,
    train_stage,
)

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
        self._random: Any = None

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
        return self.folder.history.table(len(self.spec.train.stages))

    def restore(self) -> None:
        """Put back the state of the newest sound checkpoint.

        Raises:
            SessionError: There is none, or it does not fit the code of the user any more.
        """
        self.progress, self._random = restore(self.folder.checkpoints.newest_sound(), self)

    def train(self, reporter: Reporter | None = None, stop: StopRequest | None = None) -> None:
        """Train until every stage is done. A finished session is left as it is.

        The state is saved after every epoch, or as ``checkpoints`` in the config says.

        Args:
            reporter: Hears what happens.
            stop: Ends training after the iteration at hand.

        Raises:
            Interrupted: ``stop`` asked for it; the last saved epoch is where training goes on.
            SessionError: Another process trains the session.
            UserCodeError: The user's code raised.
            DataError: The data does not fit the config.
        """
        with only_trainer(self.folder.environment):
            newest = self.folder.checkpoints.newest_sound()
            if int(newest.name) > self.progress.step:
                # Another process has brought the session forward since this one loaded it.
                self.restore()
            if not self.finished:
                self._train(reporter, stop)

    def _train(self, reporter: Reporter | None, stop: StopRequest | None) -> None:
        reporter = reporter or Reporter()
        history = self.folder.history
        history.cut(self.progress.stage, self.progress.epoch)
        if self._random is not None:
            set_random_state(self._random)
            self._random = None
        if self.progress.step == 0 and not holds_weights_of(self.folder.checkpoints, self):
            # Weights were put in from Python since the session was created.
            self._save()
        try:
            while not self.finished:
                index = self.progress.stage
                stage = self.stages[index]
                reporter.stage_started(self.progress, len(self.stages), stage.num_epochs)
                rows = StageHistory(history.rows(index), self.progress.stage_step)
                train_stage(stage, self.progress, rows, self._epoch_finished(index), reporter, stop)
        except BaseException as error:
            # What is alive is in the middle of an epoch; training goes on from what is saved.
            reporter.close()
            try:
                self.restore()
            except SessionError as failure:
                error.add_note(f"afterwards the saved state could not be put back: {failure}")
                raise error from None
            if not isinstance(error, Interrupted):
                raise
            raise Interrupted(
                error.signum,
                f"the state after epoch {self.progress.epoch} is saved in "
                f'{shown_path(self.path)}; "train.py {shown_path(self.path)}" goes on from there',
            ) from None
        reporter.close()

    def _epoch_finished(self, stage: int) -> Any:
        checkpoints = self.spec.checkpoints

        def save(row: Row) -> None:
            self.folder.history.append(stage, row)
            due = self.progress.epoch % checkpoints.every_epochs == 0
            if due or self.progress.stage != stage:
                self._save()

        return save

    def _save(self) -> None:
        keep_last = self.spec.checkpoints.keep_last
        self.folder.checkpoints.save(self, self.progress, keep_last)

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
            inputs: Texts, as on the command line.
            options: Keys of an inference config: ``inference_pipeline``, ``inputs_meta``,
                ``results``, ``post_processor``.

        Raises:
            ConfigError: The options do not fit the session.
            DataError: The inputs do not fit the pipeline.
        """
        findings = read({"session_dir": str(self.path), **options}, block=InferenceSpec)
        spec = validate(InferenceSpec, findings.tree, findings)
        if spec is not None:
            check_sources(spec, findings)
        findings.raise_if_any()
        assert spec is not None, "what is past mending has problems"
        return predict(self, self.builder, spec, inputs)
