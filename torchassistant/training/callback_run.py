"""The callbacks of a run: who hears what, and what of it is stored, so that nobody hears twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchassistant.callbacks.events import Now
from torchassistant.errors import UserCodeError, UserError, cause_of
from torchassistant.messages import logger_for
from torchassistant.training.callback_calls import Calls, Clock, NoClock, calls_of, emitted_calls
from torchassistant.training.named_callback import NamedCallback
from torchassistant.training.progress import Progress

_log = logger_for(__name__)


class CallbackRun:
    """All callbacks that a session is trained with, from one call of ``train`` to its end.

    Args:
        session: What is trained.
        progress: Where the run is.
        owns: The callbacks, in the order in which they are called.
        of_stage: The names of those that are called in a stage, by its index.
        given: The names of those that ``train`` was given.
        stages: The number of stages.

    Attributes:
        now: What events show.
        untold: The index of a stage whose end is stored and was not heard yet.
        unclaimed: What is stored of callbacks that ``train`` was given before, and is not now.
    """

    def __init__(
        self,
        session: Any,
        progress: Progress,
        owns: Sequence[NamedCallback],
        of_stage: Callable[[int], Sequence[str]],
        given: Sequence[str],
        stages: int,
    ) -> None:
        self.owns = {own.name: own for own in owns}
        self.of_stage = of_stage
        self.given = given
        self.stages = stages
        self.progress = progress
        epoch = progress.epoch + (progress.within is not None)
        self.now = Now(session, progress, min(progress.stage, stages - 1), epoch)
        self.now.resumed = progress != Progress()
        self.clock: Clock = NoClock()
        self.untold: int | None = None
        self.is_end_untold = False
        self.epoch_told = 0
        self.iteration_told = 0
        self.unclaimed: dict[str, Any] = {}
        self.emitted = emitted_calls(owns, self.now, self.clock)

    # What is stored

    def state(self) -> dict[str, Any]:
        """What is stored of it."""
        return {
            "stop": self.now.stop,
            "untold": self.untold,
            "is_end_untold": self.is_end_untold,
            "epoch_told": self.epoch_told,
            "iteration_told": self.iteration_told,
            "own": {name: own.state() for name, own in self.owns.items()},
            "given": self.unclaimed
            | {name: self.owns[name].state_of_object() for name in self.given},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave; callbacks that are new begin."""
        self.now.stop = state["stop"]
        self.untold, self.is_end_untold = state["untold"], state["is_end_untold"] is True
        self.epoch_told, self.iteration_told = state["epoch_told"], state["iteration_told"]
        for name, own in state["own"].items():
            if name in self.owns:
                self.owns[name].set_state(own)
        for name, kept in state["given"].items():
            if name in self.given:
                self.owns[name].set_state_of_object(kept)
            else:
                self.unclaimed[name] = kept

    # Who hears what

    def owns_of(self, stage: int) -> list[NamedCallback]:
        """The callbacks of a stage."""
        return [self.owns[name] for name in [*self.of_stage(stage), *self.given]]

    def calls(self, event: str) -> Calls:
        """The calls of an event that every callback hears."""
        return calls_of(event, self.owns.values(), self.now, self.clock)

    def enter(self, stage: int, clock: Clock) -> list[NamedCallback]:
        """A stage is trained from here on: its callbacks hear what is emitted."""
        owns = self.owns_of(stage)
        self.clock, self.now.stage = clock, stage
        self.emitted = emitted_calls(owns, self.now, clock)
        return owns

    def emit(self, name: str, *args: Any, **kwargs: Any) -> None:
        """An event of the user's own; see ``Session.emit``."""
        calls = self.emitted.get(name)
        if calls is not None:
            before, self.now.called = self.now.called, name
            try:
                calls.run(*args, **kwargs)
            finally:
                self.now.called = before

    def saved(self, checkpoint: Path) -> None:
        """The state is stored, in this folder."""
        self.now.checkpoint = checkpoint
        self._of_checkpoints().run()

    @property
    def hears_of_checkpoints(self) -> bool:
        """Whether a callback of the stage at hand wants to know of them."""
        return self._of_checkpoints().are_any

    def _of_checkpoints(self) -> Calls:
        return calls_of("on_checkpoint", self.owns_of(self.now.stage), self.now, self.clock)

    def raised(self, error: BaseException) -> None:
        """Training ends by an exception. What callbacks raise of it is said, and that is all."""
        put_back = [own.noted() for own in self.owns.values()]
        self.now.error = error
        for own in self.owns.values():
            try:
                calls_of("on_exception", [own], self.now, self.clock).run()
            except (UserError, UserCodeError) as failure:
                cause = cause_of(failure)
                what = f"{type(cause).__name__}: {cause}" if cause is not failure else ""
                _log.error(f"{failure}{what and ': '}{what}")
                error.add_note(f"{failure}{what and ': '}{what}")
        for put in put_back:
            put()

    # The beginning and the end

    def start_training(self) -> None:
        """Training begins in this process."""
        self.calls("on_train_start").run()

    def start_stage(self, stage: int) -> None:
        """A stage begins."""
        owns = self.enter(stage, NoClock())
        calls_of("on_stage_start", owns, self.now, self.clock).run()

    def note_end(self, stage: int) -> None:
        """A stage ends, and is about to be stored; the progress says what comes next."""
        if self.now.stop == "training":
            self.progress.stage = self.stages
        self.now.stop = ""
        self.untold, self.is_end_untold = stage, self.progress.stage >= self.stages

    def tell_end(self) -> bool:
        """Tell of the end of a stage, and of the training, where nobody has heard of it yet.

        Returns:
            Whether anybody has heard, so that it has to be stored.
        """
        if self.untold is None:
            return False
        owns = self.enter(self.untold, NoClock())
        calls = calls_of("on_stage_end", owns, self.now, self.clock)
        calls.run()
        heard = calls.are_any
        if self.now.stop == "training":
            self.progress.stage, self.is_end_untold = self.stages, True
        if self.is_end_untold is True:
            calls = self.calls("on_train_end")
            calls.run()
            heard = heard or calls.are_any
        self.untold, self.is_end_untold, self.now.stop = None, False, ""
        return heard
