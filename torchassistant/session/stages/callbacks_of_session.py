"""From the callbacks of a config, and those that ``train`` is given, to those of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torchassistant.assembly import Parts, clash
from torchassistant.callbacks import Callback
from torchassistant.config import Spec
from torchassistant.errors import ConfigError
from torchassistant.messages import logger_for
from torchassistant.session.history.history import History
from torchassistant.training import (
    CallbackRun,
    NamedCallback,
    Progress,
    Reporter,
    Stage,
    columns_of,
)

_log = logger_for(__name__)


def callback_run(
    parts: Parts,
    spec: Spec,
    progress: Progress,
    given: Sequence[Any],
    stored: Mapping[str, Any],
    is_first: bool = True,
) -> CallbackRun | None:
    """The callbacks of a run, as they were when it was saved; None where there are none.

    Args:
        parts: The session.
        spec: Its config.
        progress: Where it is.
        given: Objects that ``train`` was given.
        stored: What is stored of callbacks.
        is_first: Whether this is the first of several processes.

    Raises:
        ConfigError: What was given is no callback, or has the name of another.
        DataError: The columns of one are no names.
        UserCodeError: The user's code raised.
    """
    stages = range(len(spec.train.stages))
    names = list(dict.fromkeys(n for index in stages for n in spec.callbacks_of_stage(index)))
    owns = [
        NamedCallback(name, parts.callbacks[name], parts.callback_columns[name], parts.seed)
        for name in names
    ]
    for callback in _without_reporters(given):
        owns.append(_given(parts, callback, [own.name for own in owns]))
    own_given = [own.name for own in owns[len(names) :]]
    for name in sorted(stored.get("given", {}).keys() - {*own_given}):
        _log.warning(
            f'the callback "{name}", which train() was given before, is not given now; its state '
            "is kept"
        )
    if not owns and stored.get("stop", "") == "":
        return None
    for own in owns:
        own.is_silent = not is_first and own.callback.only_first is True
    run = CallbackRun(parts, progress, owns, spec.callbacks_of_stage, own_given, len(stages))
    if stored:
        run.set_state(stored)
    return run


def _without_reporters(given: Iterable[Any]) -> list[Any]:
    """What was given as callbacks, without those that only report: nothing of these is stored."""
    return [one for one in given if isinstance(one, Callback) or not isinstance(one, Reporter)]


def _given(parts: Parts, callback: Any, names: Sequence[str]) -> NamedCallback:
    if not isinstance(callback, Callback):
        kind = type(callback).__name__
        raise ConfigError(f"train(callbacks=…) takes callbacks; an object of {kind} is none")
    name = callback.name or type(callback).__name__
    if name in names:
        raise ConfigError(
            f'two callbacks of this run are named "{name}"; give one of them another "name"'
        )
    return NamedCallback(name, callback, columns_of(callback, name, parts), parts.seed)


def with_columns_of(run: CallbackRun, stage: Stage) -> Stage:
    """A stage, with the columns of the callbacks that ``train`` was given.

    Raises:
        ConfigError: One has the name of another column.
    """
    given = [run.owns[name] for name in run.given]
    columns = [column for own in given for column in own.columns]
    if not columns:
        return stage
    known = dict.fromkeys(stage.header, "the history")
    for own in given:
        problem = clash(known, own.name, own.columns)
        if problem is not None:
            raise ConfigError(problem)
    return replace(stage, added_columns=[*stage.added_columns, *columns])


def warn_of_missing_columns(rows: History, index: int, title: str, stage: Stage) -> None:
    """Say which columns of callbacks a stage has begun without."""
    for column in stage.added_columns:
        if rows.lacks(index, column):
            _log.warning(f'{title} has begun without the column "{column}", which is left out')
