"""Puts changes of the config into effect in a session that is restored."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torchassistant.assembly import Builder
from torchassistant.errors import blaming
from torchassistant.messages import logger_for
from torchassistant.session.changes.changes import Change
from torchassistant.session.history.history import History
from torchassistant.training import SKIPPED, Progress, Stage, StageHistory, step_of

_log = logger_for(__name__)


def apply(changes: Sequence[Change], builder: Builder, rows: History, progress: Progress) -> None:
    """What was not built from the changed config, as its state was restored afterwards."""
    last = progress.stage - 1
    stages = builder.parts.stages
    condition = ("train", "stages", last, "stop_condition")
    if any(change.path[:4] == condition for change in changes):
        _reopen_stage(stages[last], last, rows, progress)
    for index, stage in enumerate(stages):
        if stage.skips_nonfinite and rows.lacks(index, SKIPPED):
            _log.warning(
                f'{builder.spec.stage_title(index)} has begun without the column "{SKIPPED}"; '
                "what is skipped in it is reported here only"
            )


def _reopen_stage(stage: Stage, last: int, history: History, progress: Progress) -> None:
    """A stage that was done goes on, if its stop condition says so now, and nothing came after."""
    if progress.has_begun_stage:
        return
    rows = history.rows(last)
    if len(rows) == 0:  # a callback has ended the training before
        return
    before = history.rows(last - 1) if last else []
    first_step = step_of(before[-1]) if before else 0
    stage_step = progress.step - first_step
    epochs = len({row["epoch"] for row in rows})
    # A copy: it has been asked after that epoch already, and may count how often.
    condition = copy.deepcopy(stage.stop_condition)
    with blaming("the stop condition"):
        done = condition(epochs, StageHistory(rows, stage_step))
    if not done:
        progress.stage, progress.stage_epoch, progress.stage_step = last, epochs, stage_step
