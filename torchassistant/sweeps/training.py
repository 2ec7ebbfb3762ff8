"""One trial: a session that is made or gone on with, trained, and told to the study."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from torchassistant.config import ReadSweep
from torchassistant.errors import (
    Interrupted,
    NotSaved,
    SessionError,
    UserCodeError,
    UserError,
    WorkerLost,
    cause_of,
)
from torchassistant.session import Session, SessionFolder, create_session, load_session
from torchassistant.sweeps.study import FAILURE, ROW, SECONDS, Study
from torchassistant.training import NotFinite, Progress, Reporter, Row, StopRequest

_PRUNED = 0
"""The number of the signal that stands for: ended as it is worse than others."""


class Measured:
    """The values of a monitor in the rows of a session, one for each validation that had one.

    Args:
        read: The sweep.
        rows: Those so far.
    """

    def __init__(self, read: ReadSweep, rows: Iterable[Row]) -> None:
        self.spec = read.spec
        self.found: list[tuple[float, int]] = []
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> bool:
        """Note a row; gives whether it has a value."""
        value, epoch = row.get(self.spec.monitor), row["epoch"]
        if value is None:
            return False
        self.found.append((float(value), int(epoch or 0)))
        return True

    def taken(self) -> tuple[float, int] | None:
        """The value that counts, and its epoch; None where none is a number."""
        if self.spec.take == "last":
            last = self.found[-1:] and self.found[-1]
            return last if last and math.isfinite(last[0]) else None
        finite = [one for one in self.found if math.isfinite(one[0])]
        choose = min if self.spec.mode == "min" else max
        return choose(finite, key=lambda one: one[0], default=None)


class _Reports(Reporter):
    """Reports each validation to the study, once, and ends a trial that is to be pruned."""

    def __init__(self, trial: Any, measured: Measured, stages: int, stop: StopRequest) -> None:
        self.trial = trial
        self.measured = measured
        self.stages = stages
        self.stop = stop
        self.is_pruned = False
        self.known = set(_reported(trial))

    def catch_up(self) -> None:
        """Report what was measured by a process that could not report it any more."""
        for index in range(len(self.measured.found)):
            self._report(index)

    def row_added(self, progress: Progress, row: Row) -> None:
        self._add(progress, row)

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self._add(progress, row)

    def _add(self, progress: Progress, row: Row) -> None:
        if not self.measured.add(row):
            return
        self._report(len(self.measured.found) - 1)
        if progress.stage < self.stages and self.stop.signum is None and self.trial.should_prune():
            self.is_pruned = True
            self.stop.signum = _PRUNED

    def _report(self, index: int) -> None:
        step = index + 1
        if step not in self.known:
            self.known.add(step)
            self.trial.report(self.measured.found[index][0], step)


def _reported(trial: Any) -> Iterable[int]:
    (frozen,) = [one for one in trial.study.get_trials(False) if one.number == trial.number]
    known: dict[int, float] = frozen.intermediate_values
    return known


def run_trial(
    read: ReadSweep,
    study: Study,
    number: int,
    values: Mapping[str, Any],
    path: Path,
    stop: StopRequest,
    allowed: Mapping[str, Any],
) -> dict[str, Any]:
    """Train a trial to its end, and tell the study what came of it.

    Returns:
        ``{"told": True}``; or where it is to be gone on with, ``{"interrupted": SIGNAL}``, or
        ``{"problems": [...]}``, which say what ends the sweep.
    """
    begun = time.monotonic()
    trial = study.handle(number)
    spent = float(study.trial(number).user_attrs.get(SECONDS, 0.0))

    def note_time() -> None:
        trial.set_user_attr(SECONDS, spent + time.monotonic() - begun)

    try:
        found = _trained(read, trial, values, path, stop, allowed)
    except Interrupted as error:
        note_time()
        return {"interrupted": error.signum}
    except (NotSaved, SessionError, OSError) as error:
        note_time()
        return {"problems": [str(error)]}
    except (Exception, SystemExit) as error:
        failure = failure_of(error)
        note_time()
        trial.set_user_attr(FAILURE, failure)
        study.end(number, "FAIL")
        return {"told": True}
    note_time()
    if found is None:
        study.end(number, "PRUNED")
        return {"told": True}
    taken = found.taken()
    if taken is None:
        message = f'"{read.spec.monitor}" is not finite'
        if not found.found:
            message = f'no row has a value of "{read.spec.monitor}"'
        trial.set_user_attr(FAILURE, {"kind": "no value", "message": message})
        study.end(number, "FAIL")
        return {"told": True}
    trial.set_user_attr(ROW, taken[1])
    study.end(number, "COMPLETE", taken[0])
    return {"told": True}


def _trained(
    read: ReadSweep,
    trial: Any,
    values: Mapping[str, Any],
    path: Path,
    stop: StopRequest,
    allowed: Mapping[str, Any],
) -> Measured | None:
    """What was measured; None where it was pruned."""
    session = _session(read, values, path, allowed)
    stages = len(session.spec.train.stages)
    measured = Measured(read, (row for index in range(stages) for row in session.rows.rows(index)))
    reports = _Reports(trial, measured, stages, stop)
    reports.catch_up()
    if session.finished:
        session.train(stop=stop)  # where a process died at the very end
        return measured
    try:
        stop.check()
        session.train(reports, stop)
    except Interrupted:
        if not reports.is_pruned or stop.signum != _PRUNED:
            raise
        return None
    return measured


def _session(
    read: ReadSweep, values: Mapping[str, Any], path: Path, allowed: Mapping[str, Any]
) -> Session:
    if not SessionFolder(path).is_there:
        settings = read.settings_of(values)
        return create_session(read.config, path, settings=settings, **allowed)
    try:
        return load_session(path, **allowed)
    except UserError as error:
        # What was begun is not lost: it goes on when this is put right.
        raise SessionError(*error.problems) from error


def failure_of(error: BaseException) -> dict[str, str]:
    """What is noted of a trial that failed: what kind of failure it is, and a sentence."""
    cause = cause_of(error)
    message = str(error).partition("\n")[0]
    if isinstance(error, SystemExit):
        return {"kind": "raised", "message": f"it asked Python to exit (with {error.code!r})"}
    if _is_short_of_memory(cause):
        return {"kind": "out of memory", "message": str(cause).partition("\n")[0] or message}
    if isinstance(error, NotFinite):
        return {"kind": "not finite", "message": message}
    if isinstance(error, UserCodeError):
        said = str(cause).partition("\n")[0]
        kind = "worker lost" if isinstance(cause, WorkerLost) else "raised"
        return {"kind": kind, "message": f"{error.part}: {type(cause).__name__}: {said}"}
    if isinstance(error, UserError):
        return {"kind": "refused", "message": message}
    return {"kind": "raised", "message": f"{type(error).__name__}: {message}"}


def _is_short_of_memory(error: BaseException) -> bool:
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return True  # torch has no other class for the memory of the host
    return isinstance(error, (torch.OutOfMemoryError, MemoryError))
