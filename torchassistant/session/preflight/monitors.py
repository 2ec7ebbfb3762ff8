"""Whether the columns that something listens to are in the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchassistant.callbacks import ModelCheckpoint
from torchassistant.config import Key, Path
from torchassistant.errors import listing, near
from torchassistant.graph import is_among
from torchassistant.session.preflight.findings import Findings


def check_monitors(found: Findings) -> None:
    """What listens to a value of a dict names a key that its loss, or evaluator, gives.

    And where there are callbacks, what nobody else measures is a column of theirs.
    """
    session = found.session
    stages = session.stages
    headers = [stage.header for stage in stages]
    for index, (stage, header) in enumerate(zip(stages, headers, strict=True)):
        monitor = getattr(stage.stop_condition, "monitor", None)
        _check(monitor, header, ("train", "stages", index, "stop_condition"), found)
        used = [optimizer for p in stage.training for optimizer in p.optimizers]
        for name, scheduler in session.schedulers.items():
            # One that steps with its optimizer listens to losses, and not to rows.
            is_by_row = scheduler.interval == "epoch" or "/" in (scheduler.monitor or "")
            if is_among(scheduler.optimizer, used) and is_by_row:
                path = found.path_of(Key("optimizers", name))
                _check(scheduler.monitor, header, (*path, "spec", "lr_scheduler", "monitor"), found)
        for name in session.spec.callbacks_of_stage(index):
            callback = session.callbacks[name]
            if isinstance(callback, ModelCheckpoint):
                path = found.path_of(Key("callbacks", name))
                _check(callback.monitor, header, (*path, "spec"), found)
    checkpoints = session.spec.checkpoints
    for place, best in enumerate(checkpoints.bests):
        every = [column for header in headers for column in header]
        at = (place,) if isinstance(checkpoints.best, list) else ()
        _check(best.monitor, every, ("checkpoints", "best", *at, "monitor"), found)


def _check(monitor: Any, header: Sequence[str], path: Path, found: Findings) -> None:
    if not isinstance(monitor, str) or monitor in header:
        return
    metrics = [item for p in found.session.pipelines.values() for item in p.metrics]
    by_key = [column for item in metrics for column in item.columns]
    own = list(dict.fromkeys(c for c in by_key if c.startswith(f"{monitor}/")))
    if any(monitor in item.data for item in metrics):
        message = f'"{monitor}" is a tensor, which cannot be monitored'
    elif own:
        message = f'"{monitor}" gives several numbers; name one of them: {listing(own)}'
    elif "/" in monitor or len(found.session.callbacks) > 0:
        message = f'no row has "{monitor}"{near(monitor, header)}'
    else:
        return
    found.add_problem(message, path)
