"""Keeps a run while it is trained: when its state is due, what goes into it, and how it is written.

The state is copied where training waits for it, and written behind. What fails there is told at
the next step, and again at the end; what fails again and again ends the run.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from torchassistant.assembly import Parts
from torchassistant.config.spec import CheckpointsSpec
from torchassistant.data.rng import random_state
from torchassistant.errors import NotSaved, SessionError, shown_path
from torchassistant.messages import logger_for
from torchassistant.session.append_only_logs import COPIES, METRICS
from torchassistant.session.background_writer import Writer
from torchassistant.session.checkpoint_bundle import CheckpointBundle
from torchassistant.session.checkpoints import Best, Checkpoints
from torchassistant.session.environment import ENVIRONMENT, circumstances
from torchassistant.session.folder_identity import FolderLost, SameFolder
from torchassistant.session.history import History
from torchassistant.session.manifest import Fingerprints
from torchassistant.session.state import snapshot
from torchassistant.training import Progress, Row, StopRequest

_log = logger_for(__name__)

_PASSING = (errno.ENOSPC, errno.EDQUOT)
"""What somebody may mend meanwhile: a disk that is full."""

_PATIENCE = 60.0
"""Seconds for which such saves fail, at least, before the run ends."""


class _Failure(NamedTuple):
    """A save that failed.

    Args:
        step: Of the state.
        when: On the monotonic clock, in seconds.
        clock: For people.
        error: What was raised.
    """

    step: int
    when: float
    clock: datetime
    error: Exception


class CheckpointManager:
    """Keeps the state of one session.

    Args:
        parts: Whose state.
        progress: How far the run has come.
        history: The rows of the session.
        checkpoints: Where states are kept.
        spec: When that is due.
        fixed: The fingerprints of the files of the session that never change.
        record: Adds the code of the user, and gives the fingerprints of the files that say how the
            session was described.
        stop: Whether somebody asks for the state to be saved at once.
    """

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        history: History,
        checkpoints: Checkpoints,
        spec: CheckpointsSpec,
        fixed: Fingerprints,
        record: Callable[[CheckpointBundle], Fingerprints],
        stop: StopRequest,
    ) -> None:
        self.parts = parts
        self.progress = progress
        self.history = history
        self.checkpoints = checkpoints
        self.spec = spec
        self.fixed = fixed
        self.record = record
        self.stop = stop
        self.writer = Writer(self.attend)
        self.random: object = None
        self.failed: list[str] = []
        self._session = checkpoints.folder.parent
        self._same = SameFolder(
            self._session, (checkpoints.folder.name, METRICS, COPIES), ENVIRONMENT
        )
        self._in_a_row: list[_Failure] = []
        self._saved_step: int | None = None
        self._has_news = False
        self._saved_at = time.monotonic()
        best = self.best
        self._ranks = (
            [] if best is None else [best.rank(checkpoints.scores(n)) for n in checkpoints.names()]
        )

    @property
    def best(self) -> Best | None:
        """Which checkpoints are kept for how good they are."""
        return best_of(self.spec)

    def attend(self) -> None:
        """Something failed, or somebody asks for the state: to be looked at after the iteration."""
        self._has_news = True

    def due(self, step: int) -> bool:
        """Whether the state is to be saved after this iteration."""
        if self._has_news:
            self._has_news = False
            self._tell()
            if self.stop.save_asked or self._is_hopeless:
                return True
        every, seconds = self.spec.every_iterations, self.spec.every_seconds
        if every is not None and step % every == 0:
            return True
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def keep(self) -> None:
        """Save the state as it is now."""
        self._save(None)

    def epoch_finished(self, row: Row) -> None:
        """Keep the row of an epoch; save the state, where that is due."""
        progress = self.progress
        ends_stage = progress.stage_epoch == 0
        stage = progress.stage - 1 if ends_stage else progress.stage
        self.history.append(stage, row)
        due = progress.epoch % self.spec.every_epochs == 0 or ends_stage or self._is_best(row)
        seconds = self.spec.every_seconds
        due = due or (seconds is not None and time.monotonic() - self._saved_at >= seconds)
        if due or self.stop.save_asked or self._is_hopeless:
            self._save(row)
            return
        logs, marks = self.history.logs, self.history.logs.marks()

        def write() -> None:
            with _told("the history could not be written"):
                self._same.expect()
                logs.write(marks, save=False)

        self.writer.ask(write)

    def is_asked(self) -> bool:
        """Whether the state is to be saved in the middle of a validation.

        It is not where it was saved since the last iteration: then that is told.
        """
        if not self.stop.save_asked:
            return False
        self.wait()
        if self._saved_step != self.progress.step:
            return True
        self._answer()
        return False

    def wait(self) -> None:
        """Wait until everything is written, or was tried; tell what failed."""
        self.writer.wait()
        self._tell()

    def close(self) -> None:
        """Hold nothing of the session any more, once everything is written."""
        self.writer.close()

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            NotSaved: Something could not be.
        """
        self.wait()
        if self.failed:
            raise NotSaved(self.failed)

    def _save(self, row: Row | None) -> None:
        # One at a time: a disk that is slower than the training must not fill the memory.
        self.wait()
        if self._is_hopeless:
            raise NotSaved([self._farewell()])
        self._saved_at = time.monotonic()
        self.random = random_state()
        step, logs, marks = self.progress.step, self.history.logs, self.history.logs.marks()
        contents = snapshot(
            self.parts, self.progress, self.random, circumstances(self.parts.device)
        )
        scores = {}
        if row is not None:
            scores = {k: v for k, v in row.items() if math.isfinite(v) and k != "seconds"}
            if self.best is not None:
                self._ranks.append(self.best.rank(scores))
        described = self.record(contents)

        def write() -> None:
            with _told(f"the state at step {step} could not be saved"):
                try:
                    self._same.expect()
                    logs.write(marks, save=True)
                    session = {**self.fixed, **described}
                    newest = self.checkpoints.save(step, contents, session, scores, marks)
                except Exception as error:
                    self._in_a_row.append(_Failure(step, time.monotonic(), _now(), error))
                    raise
            self._saved_step = step
            self._in_a_row.clear()
            with _told("older states could not be removed"):
                self._same.expect()
                self.checkpoints.prune(newest, self.spec.keep_last, self.best)

        self.writer.ask(write)
        if self.stop.save_asked:
            self.wait()
            self._answer()

    def _answer(self) -> None:
        """Tell whoever asked for the state that it is saved; where it is not, that was told."""
        self.stop.save_asked = False
        step = self.progress.step
        if self._saved_step == step:
            text = f"the state after iteration {step} is saved in {shown_path(self._session)}"
            _log.info(f"{text}, as was asked for")

    @property
    def _is_hopeless(self) -> bool:
        """Whether so many saves have failed that the run is not worth going on."""
        failures, most = self._in_a_row, self.spec.max_failed_saves
        if most is None or len(failures) < most:
            return False
        may_pass = isinstance(failures[-1].error, OSError) and failures[-1].error.errno in _PASSING
        return not may_pass or failures[-1].when - failures[0].when >= _PATIENCE

    def _farewell(self) -> str:
        first, last, where = self._in_a_row[0], self._in_a_row[-1], shown_path(self._session)
        if isinstance(last.error, FolderLost):
            # Another may stand under its name, and is none of ours.
            left = "what was saved in it went with it"
        else:
            try:
                newest = self.checkpoints.newest_sound().path
                left = f"the last sound state is {shown_path(newest)}"
            except (SessionError, OSError):
                left = f"no sound state is left in {where}"
        count = len(self._in_a_row)
        saves = f"{count} saves in a row have" if count > 1 else "a save has"
        return (
            f"training ends after iteration {self.progress.step}: {saves} failed since "
            f"{first.clock:%Y-%m-%d %H:%M:%S} (iteration {first.step}): {_said(last.error)}; {left}"
        )

    def _is_best(self, row: Row) -> bool:
        """Whether an epoch is among the best so far."""
        if self.best is None:
            return False
        rank = self.best.rank(row)
        better = [other for other in self._ranks if other <= rank]
        return rank < math.inf and len(better) < self.best.keep

    def _tell(self) -> None:
        for error in self.writer.fetch():
            self.failed.append(str(error))
            goes_on = "" if self._is_hopeless else "; training goes on"
            _log.error(f"{error}{goes_on}")


def best_of(spec: CheckpointsSpec) -> Best | None:
    """What a config keeps for how good it is."""
    best = spec.best
    return None if best is None else Best(best.monitor, best.mode, best.keep)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What goes wrong in here says what that means."""
    try:
        yield
    except Exception as error:
        raise OSError(f"{what}: {_said(error)}") from error


def _now() -> datetime:
    return datetime.now().astimezone()


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}"
    return f"{error}" or type(error).__name__
