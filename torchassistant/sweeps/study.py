"""The study of a sweep, in Optuna: what was tried, what it gave, and what is tried next."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torchassistant.config import ParameterSpec, SweepSpec, grid_values
from torchassistant.data import derived
from torchassistant.errors import ConfigError, SessionError
from torchassistant.sweeps.folder import JournalLock, SweepFolder

if TYPE_CHECKING:
    import optuna

FAILURE, SECONDS, ROW, DEATHS = "failure", "seconds", "row", "deaths"
"""What is noted of trials beside their values."""


def expect_optuna() -> None:
    """See that Optuna is installed; nothing is imported.

    Raises:
        ConfigError: It is not.
    """
    found = find_spec("optuna")
    if found is None or found.origin is None:  # a folder of that name is no package
        raise ConfigError(
            'a sweep needs the package "optuna", which is not installed; '
            'pip install "torchassistant[sweep]" installs it'
        )


class Study:
    """The study of a sweep.

    Args:
        folder: Of the sweep.
        spec: What is searched.
        seed: Of the sampler.
        name: Of the study.
        url: Of a database; None: it is Optuna's journal in the folder.
        is_new: Whether it is made.

    Raises:
        ConfigError: There is no such database.
        SessionError: There is no such study.
    """

    def __init__(
        self,
        folder: SweepFolder,
        spec: SweepSpec,
        seed: int,
        name: str,
        url: str | None,
        is_new: bool = False,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.spec = spec
        self.seed = seed
        self.storage = _storage(folder, url)
        direction: Any = "minimize" if spec.mode == "min" else "maximize"
        pruner = _pruner(spec)
        if is_new:
            self.study = optuna.create_study(
                storage=self.storage, study_name=name, direction=direction, pruner=pruner
            )
            return
        try:
            self.study = optuna.load_study(study_name=name, storage=self.storage, pruner=pruner)
        except KeyError:
            where = "the journal of the sweep" if url is None else "this storage"
            raise SessionError(f'{where} has no study "{name}"') from None

    def fill_grid(self) -> None:
        """Queue all combinations of values that are not in the study yet."""
        if self.spec.sampler != "grid":
            return
        values = {n: _encoded_all(grid_values(p)) for n, p in self.spec.parameters.items()}
        known = [
            trial.system_attrs.get("fixed_params", trial.params)
            for trial in self.study.get_trials(deepcopy=False)
        ]
        for combination in itertools.product(*values.values()):
            params = dict(zip(values, combination, strict=True))
            if params not in known:
                self.study.enqueue_trial(params)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials, by number."""
        return self.study.get_trials(deepcopy=False)

    def trial(self, number: int) -> optuna.trial.FrozenTrial:
        """A trial, as it is now."""
        return self.trials()[number]

    def asked(self) -> tuple[int, dict[str, Any]]:
        """Begin another trial: its number, and its parameters."""
        number = len(self.trials())
        self.study.sampler = _sampler(self.spec, self.seed, number)
        trial = self.study.ask()
        return trial.number, self._suggested(trial)

    def is_asked(self, number: int) -> bool:
        """Whether a trial that was begun has all of its parameters."""
        return self.spec.parameters.keys() <= self.trial(number).params.keys()

    def handle(self, number: int) -> optuna.trial.Trial:
        """What reports of a trial that is running."""
        import optuna

        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        found = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        return optuna.trial.Trial(self.study, found)

    def end(self, number: int, state: str, value: float | None = None) -> None:
        """Say what became of a trial: ``COMPLETE``, ``PRUNED`` or ``FAIL``."""
        import optuna

        self.study.tell(number, value, state=optuna.trial.TrialState[state])

    def parameters(self, number: int) -> dict[str, Any]:
        """The parameters of a trial that is running; who began it may not have had all of them."""
        if self.is_asked(number):
            return self.values(self.trial(number))
        self.study.sampler = _sampler(self.spec, self.seed, number)
        return self._suggested(self.handle(number))

    def values(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """The parameters of a trial, as the config gets them."""
        specs = self.spec.parameters
        return {n: _decoded(specs[n], v) for n, v in trial.params.items() if n in specs}

    def _suggested(self, trial: optuna.trial.Trial) -> dict[str, Any]:
        return {
            name: _decoded(one, _suggested(trial, name, one))
            for name, one in self.spec.parameters.items()
        }


def _suggested(trial: optuna.trial.Trial, name: str, one: ParameterSpec) -> Any:
    if one.categorical is not None:
        return trial.suggest_categorical(name, _encoded_all(one.categorical))
    if one.int_ is not None:
        low, high = one.int_
        step = 1 if one.step is None else int(one.step)
        return trial.suggest_int(name, low, high, step=step, log=one.log)
    low_, high_ = one.float_ or (0.0, 0.0)
    return trial.suggest_float(name, low_, high_, step=one.step, log=one.log)


def _encoded_all(values: list[Any]) -> list[Any]:
    """Values as Optuna stores them: lists and objects as their JSON."""
    return [json.dumps(v) if isinstance(v, (list, dict)) else v for v in values]


def _decoded(one: ParameterSpec, value: Any) -> Any:
    if one.categorical is None:
        return value
    for choice, stored in zip(one.categorical, _encoded_all(one.categorical), strict=True):
        if stored == value:
            return choice
    raise SessionError(f"{value!r} is none of the values that the sweep was begun with")


def _storage(folder: SweepFolder, url: str | None) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if url is None:
        lock: Any = JournalLock(folder.journal)
        backend = JournalFileBackend(str(folder.journal), lock_obj=lock)
        return optuna.storages.JournalStorage(backend)
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:
        # Whatever its drivers raise is about the address, or the database there.
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"--storage: the database cannot be used: {reason}") from None


def _sampler(spec: SweepSpec, seed: int, number: int) -> Any:
    """What chooses the values of a trial; it keeps nothing that the next call would lack."""
    import optuna

    own = derived(seed, "sampler", number) % 2**32
    if spec.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=own)
    if spec.sampler == "gp":
        return optuna.samplers.GPSampler(seed=own, warn_independent_sampling=False)
    if spec.sampler == "qmc":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # One sequence, of which each trial takes the next point.
            every = derived(seed, "sampler") % 2**32
            return optuna.samplers.QMCSampler(
                scramble=True, seed=every, warn_independent_sampling=False
            )
    return optuna.samplers.RandomSampler(seed=own)


def _pruner(spec: SweepSpec) -> Any:
    import optuna

    if spec.pruner == "median":
        return optuna.pruners.MedianPruner()
    if spec.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner()
    if spec.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner()
    return optuna.pruners.NopPruner()


def as_request(spec: SweepSpec) -> Mapping[str, Any]:
    """What of a sweep is the same as long as it is one sweep."""
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {k: v for k, v in data.items() if k not in ("$schema", "folder", "config", "seed")}
