"""The request to stop a run of several processes: whoever is asked, all stop at the same place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torchassistant.parallel import World
from torchassistant.training.progress import StopRequest


class SharedStop(StopRequest):
    """What all processes have agreed on; what this one was asked for is told with the next step.

    Args:
        own: What this process was asked for.
        world: The processes.

    Attributes:
        is_save_due: Whether the state is to be saved after the iteration at hand, as far as this
            process knows.
    """

    def __init__(self, own: StopRequest, world: World) -> None:
        self._saves = False
        super().__init__()
        own.is_shared = True
        self.own = own
        self.world = world
        self.is_save_due: Callable[[], bool] = bool
        self.has_save_due = False
        world.asks, world.hears = self._asked, self._heard

    # What is noted here, signal handlers look at too.

    @property
    def saving(self) -> bool:
        return self.own.saving

    @saving.setter
    def saving(self, saving: bool) -> None:
        if hasattr(self, "own"):
            self.own.saving = saving

    @property
    def at_once(self) -> bool:
        return self.own.at_once

    @at_once.setter
    def at_once(self, at_once: bool) -> None:
        if hasattr(self, "own"):
            self.own.at_once = at_once

    @property
    def save_asked(self) -> bool:
        return self._saves

    @save_asked.setter
    def save_asked(self, asked: bool) -> None:
        self._saves = asked
        if not asked and hasattr(self, "own"):
            self.own.save_asked = False

    def agree(self) -> None:
        """Let all know what each was asked for."""
        self.world.agree()

    def take_save_due(self) -> bool:
        """Whether a save was agreed on; once."""
        due, self.has_save_due = self.has_save_due, False
        return due

    def _asked(self) -> Sequence[int]:
        if self.own.save_asked and not self._saves:
            return self.own.signum or 0, 1, 1
        return self.own.signum or 0, 0, int(self.is_save_due())

    def _heard(self, asked: Sequence[int]) -> None:
        signum, saves, is_due = asked
        if signum:
            self.signum = signum
        if saves and not self._saves:
            self.ask_save()
        if is_due:
            self.has_save_due = True
