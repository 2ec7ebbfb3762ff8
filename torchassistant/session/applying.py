"""Puts changes of the config into effect in a session that is restored."""

from __future__ import annotations

from collections.abc import Sequence

from torchassistant.errors import blaming
from torchassistant.session.changes import Change
from torchassistant.session.session import Session
from torchassistant.training import StageHistory


def apply(changes: Sequence[Change], session: Session) -> None:
    """What was not built from the changed config, as its state was restored afterwards."""
    for change in changes:
        _change_optimizer(change, session)
    if any(change.path[:2] == ("train", "stages") for change in changes):
        _reopen_last_stage(session)


def _change_optimizer(change: Change, session: Session) -> None:
    """Give an optimizer the argument that has changed."""
    path = change.path
    if path[:2] != ("initialize", "definitions") or path[3:5] != ("spec", "kwargs"):
        return
    definition = session.spec.initialize.definitions[int(path[2])]
    if definition.group != "optimizers":
        return
    key = str(path[5])
    kwargs = getattr(definition.spec, "kwargs", {})
    optimizer = session.optimizers[definition.name]
    value = kwargs.get(key, optimizer.defaults.get(key))
    for group in optimizer.param_groups:
        group[key] = tuple(value) if isinstance(value, list) else value


def _reopen_last_stage(session: Session) -> None:
    """A stage that was done goes on, if its stop condition says so now, and nothing came after."""
    progress = session.progress
    last = progress.stage - 1
    if last < 0 or progress.stage_step or progress.within is not None:
        return
    rows = session.rows.rows(last)
    before = session.rows.rows(last - 1) if last else []
    first_step = int(before[-1]["step"]) if before else 0
    stage_step = progress.step - first_step
    with blaming("the stop condition"):
        done = session.stages[last].stop_condition(len(rows), StageHistory(rows, stage_step))
    if not done:
        progress.stage, progress.stage_epoch, progress.stage_step = last, len(rows), stage_step
