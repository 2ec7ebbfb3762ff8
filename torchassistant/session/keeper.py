"""Keeps a run while it is trained: when its state is due, what goes into it, and how it is written.

The state is copied where training waits for it, and written behind. What fails there is told at
the next step, and again at the end.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torchassistant.build import Parts
from torchassistant.config.spec import CheckpointsSpec
from torchassistant.data.randomness import random_state
from torchassistant.errors import NotSaved
from torchassistant.session.checkpoints import Best, Checkpoints
from torchassistant.session.contents import Contents
from torchassistant.session.environment import circumstances
from torchassistant.session.history import History
from torchassistant.session.manifest import Fingerprints
from torchassistant.session.state import snapshot
from torchassistant.session.writer import Writer
from torchassistant.training import Progress, Row


class SessionKeeper:
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
    """

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        history: History,
        checkpoints: Checkpoints,
        spec: CheckpointsSpec,
        fixed: Fingerprints,
        record: Callable[[Contents], Fingerprints],
    ) -> None:
        self.parts = parts
        self.progress = progress
        self.history = history
        self.checkpoints = checkpoints
        self.spec = spec
        self.fixed = fixed
        self.record = record
        self.writer = Writer()
        self.random: object = None
        self.failed: list[str] = []
        self._saved_at = time.monotonic()
        best = self.best
        self._ranks = (
            [] if best is None else [best.rank(checkpoints.scores(n)) for n in checkpoints.names()]
        )

    @property
    def best(self) -> Best | None:
        """Which checkpoints are kept for how good they are."""
        return best_of(self.spec)

    def due(self, step: int) -> bool:
        """Whether the state is to be saved after this iteration."""
        if self.writer.failures:
            self._tell()
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
        if due:
            self._save(row)
            return
        logs, marks = self.history.logs, self.history.logs.marks()
        self.writer.ask(lambda: logs.write(marks, save=False))

    def wait(self) -> None:
        """Wait until everything is written, or was tried; tell what failed."""
        self.writer.wait()
        self._tell()

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
                logs.write(marks, save=True)
                session = {**self.fixed, **described}
                newest = self.checkpoints.save(step, contents, session, scores, marks)
            with _told("older states could not be removed"):
                self.checkpoints.prune(newest, self.spec.keep_last, self.best)

        self.writer.ask(write)

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
            print(f"error: {error}; training goes on", file=sys.stderr, flush=True)


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


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}"
    return f"{error}" or type(error).__name__
