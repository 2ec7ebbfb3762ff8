"""Checkpoints of a run of several processes: the first one writes, all know when."""

from __future__ import annotations

from collections.abc import Mapping

from torchassistant.parallel import World
from torchassistant.session.checkpoint_manager import CheckpointManager
from torchassistant.training import Data, Row, SharedStop, Spent


class FollowingManager(CheckpointManager):
    """Takes part in the decisions of the first process, and writes nothing."""

    def begin(self) -> None:
        """Nothing to bring up to date."""

    def save(self, row: Row | None = None, quietly: bool = False) -> None:
        """Note that it is saved."""
        self._scores_of(row)
        self._saved_step = self.progress.step
        self.stop.save_asked = False

    def _write_history(self) -> None:
        """The first process does."""


class SharedCheckpoints:
    """Saves the state of a run when the first process says so, in all processes at once.

    Args:
        manager: Of this process.
        world: The processes.
        stop: What they have agreed on.
    """

    def __init__(self, manager: CheckpointManager, world: World, stop: SharedStop) -> None:
        self.manager = manager
        self.world = world
        self.stop = stop
        if world.is_first:
            stop.is_save_due = lambda: manager.is_save_due(manager.progress.step + 1)

    def is_save_due(self, step: int) -> bool:
        """See :class:`Checkpointer`."""
        due = self.stop.take_save_due()
        every = self.manager.spec.every_iterations
        return due or (every is not None and step % every == 0)

    def is_save_requested(self) -> bool:
        """See :class:`Checkpointer`."""
        requested = self.world.processes.first(self.manager.is_save_requested())
        if not requested:
            self.stop.save_asked = False
        return requested

    def save(self) -> None:
        """See :class:`Checkpointer`."""
        self.manager.save()
        self._tell()

    def add_epoch(
        self, stage: int, row: Row, is_new: bool, data: Mapping[str, Data], spent: Spent
    ) -> None:
        """See :class:`Checkpointer`."""
        self.manager.add_epoch(stage, row, is_new, data, spent)
        self.stop.save_asked = False
        self._tell()

    def add_row(self, row: Row, data: Mapping[str, Data], spent: Spent) -> None:
        """See :class:`Checkpointer`."""
        self.manager.add_row(row, data, spent)
        self._tell()

    def add_step(self, row: Row) -> None:
        """See :class:`Checkpointer`."""
        self.manager.add_step(row)

    def add_picture(self, name: str, image: bytes) -> None:
        """See :class:`Checkpointer`."""
        self.manager.add_picture(name, image)

    def _tell(self) -> None:
        """Callbacks of the other processes hear of what is stored, too."""
