"""Saves a run while it is trained: when that is due, what goes into it, and what stays.

Training waits while the state is copied, or written where it is large; the rest is done behind.
What fails is printed at the next step, and again at the end; what fails again and again ends the
run.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, Protocol

from torchassistant.config import CheckpointsSpec
from torchassistant.data import random_state
from torchassistant.errors import NotSaved, SessionError, shown_path
from torchassistant.messages import logger_for
from torchassistant.session.checkpoints.best_weights import BestWeights
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.retention import BestRanks, bests_of, prune, scores_of
from torchassistant.session.checkpoints.storage import order_of
from torchassistant.session.files.manifest import Fingerprints
from torchassistant.session.folder.folder_identity import FolderGone
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.history.history import History
from torchassistant.session.saving.background_writer import Writer
from torchassistant.session.saving.stage_starts import StageStarts
from torchassistant.session.saving.waiting_states import WaitingState, WaitingStates
from torchassistant.training import CallbackRun, Data, Progress, Row, Spent, StopRequest

_log = logger_for(__name__)

_PASSING = (errno.ENOSPC, errno.EDQUOT)
"""What somebody may repair meanwhile: a disk that is full."""

_PATIENCE = 60.0
"""Seconds for which such saves fail, at least, before the run ends."""


_BETWEEN_WRITES = 1.0
"""Seconds for which rows that come often wait for others, at least."""


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


class Snapshot(NamedTuple):
    """What a checkpoint is made of.

    Args:
        bundle: A copy of the state.
        session: The fingerprints of the files of the session that it belongs to.
    """

    bundle: CheckpointBundle
    session: Fingerprints


class Together(Protocol):
    """Several processes that save one state, each what it has of it."""

    def agreed(self, is_due: bool) -> bool:
        """Whether the first one says that something is due."""

    def gather(self, bundle: CheckpointBundle) -> None:
        """Let all write aside what they have of a state; the bundle knows where then."""


class CheckpointManager:
    """Saves the state of one session, and removes what need not stay.

    Args:
        snapshot: Copies the state, given that of the random number generators.
        progress: Where the run is.
        history: The rows of the session.
        folder: Where all of it is saved.
        spec: When that is due.
        stop: Whether somebody asks for the state to be saved at once.
        starts: Says from which states later stages start.
    """

    def __init__(
        self,
        snapshot: Callable[[object], Snapshot],
        progress: Progress,
        history: History,
        folder: SessionFolder,
        spec: CheckpointsSpec,
        stop: StopRequest,
        starts: StageStarts,
    ) -> None:
        self.snapshot = snapshot
        self.progress = progress
        self.history = history
        self.folder = folder
        self.storage = folder.storage
        self.spec = spec
        self.stop = stop
        self.starts = starts
        self.together: Together | None = None
        """Where several processes save together, they."""
        self.writer = Writer(self.notify)
        self.random: object = None
        self.callbacks: CallbackRun | None = None
        """Hears of what is stored, from when it is set."""
        self._stored = ""
        self.failed: list[str] = []
        self._identity = folder.identity()
        self._failures: list[_Failure] = []
        self._saved_step: int | None = None
        self._must_look = False
        self._saved_at = self._written_at = time.monotonic()
        self._scored = self._scores_of_newest()
        self.bests = bests_of(spec)
        self.best_weights = BestWeights(folder.path, self.storage, self.bests)
        scores = [self.storage.scores(name) for name in self.storage.names() if self.bests]
        self._ranks = [BestRanks(best, scores) for best in self.bests]
        self._waiting = WaitingStates(spec.keep_last, self._ranks)

    def notify(self) -> None:
        """Something failed, or somebody asks for the state: to be looked at after the iteration."""
        self._must_look = True

    def begin(self) -> None:
        """Bring what is beside the checkpoints to what is stored, before anything is trained."""
        if self.best_weights.has_any:
            self.writer.ask(lambda: self._keep_weights(self.best_weights.begin))

    def is_save_due(self, step: int) -> bool:
        """Whether the state is to be saved after this iteration."""
        if self._must_look:
            self._must_look = False
            self._report_failures()
            if self.stop.save_asked or self._must_end:
                return True
        every, seconds = self.spec.every_iterations, self.spec.every_seconds
        if every is not None and step % every == 0:
            return True
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def add_step(self, row: Row) -> None:
        """Add a row that ``log`` asks for; it is written with others, each second at most."""
        self.history.append_step(self.progress.stage, row)
        if time.monotonic() - self._written_at >= _BETWEEN_WRITES:
            self._write_history()

    def add_picture(self, name: str, image: bytes) -> None:
        """Add a picture, a PNG file; it is written with what comes next."""
        self.history.add_picture(self.progress.stage, self.progress.step, name, image)

    def add_row(self, row: Row, data: Mapping[str, Data], spent: Spent) -> None:
        """Add a row within an epoch; save the state where it is among the best, or that is due."""
        self.history.append(self.progress.stage, row, data, spent)
        due = self._is_best(row) or self.starts.is_sought(self.progress.stage, row)
        self._save_or_write(row, due)

    def add_epoch(
        self, stage: int, row: Row, is_new: bool, data: Mapping[str, Data], spent: Spent
    ) -> None:
        """Add the row of an epoch to the history; save the state where that is due.

        Args:
            stage: The index of its stage, which may be done.
            row: Of the epoch.
            is_new: Whether it is not in the history yet, as a row within the epoch.
            data: What metrics gave as tensors with it.
            spent: Where the time since the last row went.
        """
        progress = self.progress
        ends_stage = progress.stage != stage
        if is_new:
            self.history.append(stage, row, data, spent)
        due = progress.epoch % self.spec.every_epochs == 0 or ends_stage or self._is_best(row)
        due = due or self.starts.is_sought(stage, row)
        self._save_or_write(row, due)

    def _save_or_write(self, row: Row, due: bool) -> None:
        seconds = self.spec.every_seconds
        due = due or (seconds is not None and time.monotonic() - self._saved_at >= seconds)
        due = due or self.stop.save_asked or self._must_end
        if due if self.together is None else self.together.agreed(due):
            self.save(row)
        else:
            self._write_history()

    def _write_history(self) -> None:
        self._written_at = time.monotonic()
        logs, marks = self.history.logs, self.history.logs.marks()

        def write() -> None:
            with _explaining("the history could not be written"):
                self._identity.expect()
                logs.write(marks, save=False)

        self.writer.ask(write)

    def save(self, row: Row | None = None, quietly: bool = False) -> None:
        """Save the state as it is now.

        Args:
            row: The row that is added here, as an epoch ends or was validated; None elsewhere.
            quietly: Whether callbacks hear nothing of it: only what they have heard is new.

        Raises:
            NotSaved: Too many saves have failed.
        """
        self.random = random_state()
        bundle, session = self.snapshot(self.random)
        size = bundle.tensor_bytes
        self._make_room(size)
        if self._must_end:
            raise NotSaved([self._last_words()])
        self._saved_at = time.monotonic()
        step, logs, marks = self.progress.step, self.history.logs, self.history.logs.marks()
        if self._waiting.are_copied(size):
            bundle.take_copies()
        else:
            self._write_aside(bundle)
        if self.together is not None:
            self.together.gather(bundle)
        scores = self._scores_of(row)
        sought = self.starts.sought(self.progress.stage)
        self._stored = ""

        def write() -> None:
            with _explaining(f"the state at step {step} could not be saved"):
                try:
                    self._identity.expect()
                    there = logs.write(marks, save=True)
                    newest = self.storage.save(step, bundle, session, scores, there)
                except Exception as error:
                    self._failures.append(_Failure(step, time.monotonic(), _now(), error))
                    raise
            self._saved_step, self._stored = step, newest
            self._failures.clear()
            with _explaining("older states could not be removed"):
                self._identity.expect()
                prune(self.storage, newest, self.spec.keep_last, self.bests, sought)
            if self.best_weights.bests:
                self._keep_weights(self.best_weights.update)

        stays = row is None or len(sought) > 0
        self._waiting.add(WaitingState(step, size, scores, stays, bundle, write))
        self.writer.ask(self._waiting.write_next)
        if self.stop.save_asked:
            self.wait()
            self._confirm()
        if self.callbacks is not None and not quietly and self.callbacks.hears_of_checkpoints:
            self.wait()
            if self._stored:
                self.callbacks.saved(self.folder.storage.path(self._stored))

    def _make_room(self, size: int) -> None:
        """Let a disk that is slower than the training fill neither the memory nor much time.

        What several processes have written aside is taken before they write more, and once a save
        has failed each is waited for: the run is to end soon where all of them do.

        Args:
            size: Of the state that is to be saved, in bytes.
        """
        is_much = not self._waiting.has_room_for(size)
        if self.together is not None or is_much or self._failures:
            self.wait()
        else:
            self._report_failures()

    def _write_aside(self, bundle: CheckpointBundle) -> None:
        try:
            self._identity.expect()
            self.storage.write_aside(bundle)
        except Exception as error:
            bundle.failure = error  # told by whoever writes the rest

    def _keep_weights(self, keep: Callable[[], None]) -> None:
        with _explaining("the weights of the best states could not be kept"):
            self._identity.expect()
            keep()

    def _scores_of(self, row: Row | None) -> dict[str, float]:
        """What a state is ranked by; one that is saved again after a row keeps its scores."""
        step = self.progress.step
        if row is None:
            # A stage that has made no step may begin with other weights than those of the row.
            is_same = self._scored[0] == step and self.progress.stage_step > 0
            return self._scored[1] if is_same else {}
        scores = scores_of(row)
        for ranks in self._ranks:
            ranks.add(scores)
        self._scored = step, scores
        return scores

    def is_save_requested(self) -> bool:
        """Whether the state is to be saved in the middle of a validation.

        It is not where it was saved since the last iteration: then that is said.
        """
        if not self.stop.save_asked:
            return False
        self.wait()
        if self._saved_step != self.progress.step:
            return True
        self._confirm()
        return False

    def wait(self) -> None:
        """Wait until everything is written, or was tried; print what failed."""
        self._waiting.hurry(True)
        try:
            self.writer.wait()
        finally:
            self._waiting.hurry(False)
        self._report_failures()

    def close(self) -> None:
        """Hold nothing of the session any more, once everything is written."""
        self._waiting.hurry(True)
        self.writer.close()

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            NotSaved: Something could not be.
        """
        self.wait()
        if self.failed:
            raise NotSaved(self.failed)

    def _confirm(self) -> None:
        """Print that the state is saved that was asked for; where it is not, that was printed."""
        self.stop.save_asked = False
        step = self.progress.step
        if self._saved_step == step:
            text = f"the state after iteration {step} is saved in {shown_path(self.folder.path)}"
            _log.info(f"{text}, as requested")

    @property
    def _must_end(self) -> bool:
        """Whether so many saves have failed that the run is not worth going on."""
        failures, most = self._failures, self.spec.max_failed_saves
        if most is None or len(failures) < most:
            return False
        may_pass = isinstance(failures[-1].error, OSError) and failures[-1].error.errno in _PASSING
        return not may_pass or failures[-1].when - failures[0].when >= _PATIENCE

    def _last_words(self) -> str:
        first, last, where = self._failures[0], self._failures[-1], shown_path(self.folder.path)
        if isinstance(last.error, FolderGone):
            # Another may stand under its name, and is none of ours.
            left = "its checkpoints went with it"
        else:
            try:
                newest = self.folder.checkpoints.newest().path
                left = f"the last valid checkpoint is {shown_path(newest)}"
            except (SessionError, OSError):
                left = f"no valid checkpoint is left in {where}"
        count = len(self._failures)
        saves = f"{count} saves in a row have" if count > 1 else "a save has"
        return (
            f"training ends after iteration {self.progress.step}: {saves} failed since "
            f"{first.clock:%Y-%m-%d %H:%M:%S} (iteration {first.step}): {_text_of(last.error)}; "
            f"{left}"
        )

    def _scores_of_newest(self) -> tuple[int, dict[str, float]]:
        """The step of the newest checkpoint, and its scores."""
        names = self.storage.names()
        return (order_of(names[-1])[0], self.storage.scores(names[-1])) if names else (-1, {})

    def _is_best(self, row: Row) -> bool:
        """Whether an epoch is among the best so far, by any monitor."""
        return any(ranks.would_take(row) for ranks in self._ranks)

    def _report_failures(self) -> None:
        for error in self.writer.fetch():
            self.failed.append(str(error))
            goes_on = "" if self._must_end else "; training continues"
            _log.error(f"{error}{goes_on}")


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    """What goes wrong in here says what that means."""
    try:
        yield
    except Exception as error:
        raise OSError(f"{what}: {_text_of(error)}") from error


def _now() -> datetime:
    return datetime.now().astimezone()


def _text_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}"
    return f"{error}" or type(error).__name__
