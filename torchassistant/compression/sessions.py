"""The sessions of candidates: built, trained, and written."""

from __future__ import annotations

import copy
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from torchassistant.compression.calls import PartCall, training_calls
from torchassistant.compression.candidates import Candidate
from torchassistant.compression.configs import (
    for_training,
    teacher_of,
    with_steps,
    with_teachers,
)
from torchassistant.compression.conversion import Converted, Converter
from torchassistant.compression.pruning import TooFar
from torchassistant.compression.records import SearchFolder
from torchassistant.config import as_data
from torchassistant.errors import Interrupted
from torchassistant.messages import logger_for
from torchassistant.rebuilding import Misfit, rebuilt
from torchassistant.session import Session, derived_session, load_session, store_derived
from torchassistant.training import Reporter, StopRequest

_LOGGER = logger_for(__name__)


class Workshop:
    """Makes the sessions of candidates.

    Args:
        folder: Where they are.
        original: The session whose models are made smaller.
        models: The names of those.
        allowed: What configs may do, as :func:`load_session` takes it.
        reporter: Is called while one is trained.
        stop: Ends the training of one, which goes on later.
        calls: Gives what the models are called with, for one batch, by name.
    """

    def __init__(
        self,
        folder: SearchFolder,
        original: Session,
        models: Sequence[str],
        allowed: Mapping[str, Any],
        reporter: Reporter,
        stop: StopRequest,
        calls: Callable[[], Mapping[str, Sequence[PartCall]]],
    ) -> None:
        self.folder = folder
        self.original = original
        self.models = models
        self.allowed = allowed
        self.reporter = reporter
        self.stop = stop
        self.converter = Converter(calls)
        self.said: set[str] = set()

    def loaded(self, number: int) -> Session:
        """The session of a candidate; of number 0, the one whose models are made smaller."""
        if number == 0:
            return self.original
        return load_session(self.folder.session(number), **self.allowed)

    def made(self, number: int, candidate: Candidate) -> Session:
        """The session of a candidate, with its weights, written; or what there is of it, finished.

        Of several models those are left as they are to which it cannot be done.

        Raises:
            Misfit: It cannot be done to any of these models.
            Interrupted: It is trained on when it is asked for again.
        """
        if self.folder.session(number).exists():
            return self.loaded(number)
        if not candidate.trains:
            base = self.loaded(candidate.base)
            made = self._converted(base, candidate)
            config = with_steps(as_data(base.spec), {n: one.steps for n, one in made.items()})
            session = derived_session(base, config, self.folder.session(number))
            self._fill(session, base, made)
            store_derived(session, is_finished=True)
            return session
        trained = self._trained(number, candidate)
        base = self.loaded(candidate.base)
        steps = {
            one["name"]: one["spec"].get("compressed", [])
            for one in as_data(trained.spec)["initialize"]["definitions"]
            if one["group"] == "models" and one["name"] in self.models
        }
        config = _with_all_steps(as_data(base.spec), steps)
        session = derived_session(base, config, self.folder.session(number))
        for name, model in session.whole_models.items():
            model.load_state_dict(trained.models[name].state_dict())
        store_derived(session, is_finished=True)
        return session

    def copied(self, number: int, path: Path) -> None:
        """Write the session of a candidate into another folder, in the place of what is there."""
        base = self.loaded(number)
        session = derived_session(base, as_data(base.spec), path)
        for name, model in session.whole_models.items():
            model.load_state_dict(base.models[name].state_dict())
        store_derived(session, is_finished=True, replaces=path.exists())

    def _trained(self, number: int, candidate: Candidate) -> Session:
        path = self.folder.training(number)
        if path.exists():
            session = load_session(path, **self.allowed)
        else:
            session = self._to_train(path, candidate)
        if not session.finished:
            try:
                session.train(self.reporter, self.stop)
            except Interrupted as error:
                message = "the search goes on from here when it is called again"
                raise Interrupted(error.signum, message) from None
        return session

    def _to_train(self, path: Path, candidate: Candidate) -> Session:
        base = self.loaded(candidate.base)
        made = self._converted(base, candidate)
        before = as_data(base.spec)
        config = for_training(before, candidate.epochs)
        if candidate.distilled:
            original = as_data(self.original.spec)
            config = with_teachers(config, original, self.models)
        config = with_steps(config, {name: one.steps for name, one in made.items()})
        session = derived_session(base, config, path)
        self._fill(session, base, made)
        store_derived(session, is_finished=False)
        return session

    def _converted(self, base: Session, candidate: Candidate) -> dict[str, Converted]:
        training = functools.cache(lambda: training_calls(base))
        made = {
            name: self.converter.converted(name, base.models[name], candidate.method, training)
            for name in self.models
        }
        misfits = {name: one.misfit for name, one in made.items() if one.misfit is not None}
        if len(misfits) == len(made):
            raise min(misfits.values(), key=lambda error: not isinstance(error, TooFar))
        for name, error in misfits.items():
            said = f'{candidate.method["kind"]} is not done to the model "{name}": {error}'
            if said not in self.said:
                self.said.add(said)
                _LOGGER.info("%s", said)
        return made

    def _fill(self, session: Session, base: Session, made: Mapping[str, Converted]) -> None:
        """Put the weights of what was made into a session that was built for them."""
        teachers = {teacher_of(name): name for name in made}
        specs = base.spec.group("models")
        for name, model in session.whole_models.items():
            if name in made:
                source = made[name].model
            elif name in teachers and name not in base.models:
                source = self.original.models[teachers[name]]
            elif name in session.averages and specs[name].average_of in made:
                average = _average_like(base.models[name], made[specs[name].average_of])
                if average is None:
                    session.averages[name].reset()
                    continue
                source = average
            else:
                source = base.models[name]
            model.load_state_dict(source.state_dict())


def _average_like(average: nn.Module, made: Converted) -> nn.Module | None:
    """An average of a model that was made smaller; None where it has to begin anew."""
    try:
        return rebuilt(copy.deepcopy(average), made.steps, convert=True)
    except Misfit:
        return None


def _with_all_steps(
    config: dict[str, Any], steps: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """A config whose models are built with these steps, and no others."""
    for one in config["initialize"]["definitions"]:
        if one["group"] == "models" and steps.get(one["name"]):
            one["spec"]["compressed"] = list(steps[one["name"]])
    return config


def removed(path: Path) -> None:
    """Remove a folder that may be there."""
    shutil.rmtree(path, ignore_errors=True)
