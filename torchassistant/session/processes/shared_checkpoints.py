"""Checkpoints of a run of several processes: the first one writes, all know when.

Where they share models each writes its rows aside, and the first one makes a checkpoint of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torchassistant.data import random_state
from torchassistant.parallel import Processes, World
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.storage import CheckpointStorage
from torchassistant.session.saving.checkpoint_manager import CheckpointManager
from torchassistant.training import Data, Row, SharedStop, Spent


class SavingTogether:
    """Lets processes that share models save one state.

    Args:
        processes: They.
        storage: Where each writes its rows; they see the same files.
    """

    def __init__(self, processes: Processes, storage: CheckpointStorage) -> None:
        self.processes = processes
        self.storage = storage

    def agreed(self, is_due: bool) -> bool:
        """See :class:`Together`."""
        return self.processes.first(is_due)

    def gather(self, bundle: CheckpointBundle) -> None:
        """See :class:`Together`."""
        rank, size = self.processes.rank, self.processes.size
        aside = failure = ""
        self.processes.wait()  # until the first one has tidied up after the last state
        try:
            aside = str(self.storage.write_rows(bundle, rank, size))
        except Exception as error:
            failure = f"the process of rank {rank}: {error}"
        told: list[list[str]] = self.processes.gather_values([aside, failure])
        bundle.asides = [Path(folder) for folder, _ in told if folder != ""]
        failures = [OSError(why) for _, why in told if why != ""]
        bundle.failure = next(iter(failures), None)


class FollowingManager(CheckpointManager):
    """Takes part in the decisions of the first process, and writes nothing but rows of its own."""

    def begin(self) -> None:
        """Nothing to bring up to date."""

    def save(self, row: Row | None = None, quietly: bool = False) -> None:
        """Note that it is saved."""
        self._scores_of(row)
        if self.together is not None:
            self.together.gather(self.snapshot(random_state()).bundle)
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
