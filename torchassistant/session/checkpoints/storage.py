"""Where the checkpoints of a session are stored: one interface, whatever stands behind it.

Behind it is a folder on this machine (``local_checkpoints.py``). What saves, chooses, restores and
removes knows this file only: where several processes each store a part of a state, that is another
implementation of the interface, and more files of one checkpoint are more in its bundle.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from torchassistant.config import Spec
from torchassistant.errors import SessionError, shown_path
from torchassistant.files import InvalidFile
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.state_schema import CODE, stored_state, stored_tensors
from torchassistant.session.files.durable_files import Take, read_json
from torchassistant.session.files.manifest import Damaged, Fingerprints, Manifest


class Unusable(SessionError):
    """A checkpoint is as it was written, and cannot be put back into what the session is made of.

    Where nothing of the session's config and code has changed, that is the fault of the checkpoint.
    """


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint: it is as it was written, in the form in which states are written.

    Only :meth:`CheckpointStorage.verified` makes one; whoever reads a checkpoint is handed this.

    Args:
        path: Its folder.
        manifest: What it holds.
        spec: The config that it was saved with.
        logs: What the files of the session that are only added to held then, by path below it.
    """

    path: Path
    manifest: Manifest
    spec: Spec
    logs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """By this its storage knows it."""
        return self.path.name

    def has(self, name: str) -> bool:
        """Whether a file was written there, by its path below the checkpoint."""
        return name in self.manifest.files

    def tensors(self, name: str, take: Take | None = None) -> dict[str, torch.Tensor]:
        """The tensors that were added under a name.

        Args:
            name: It.
            take: Gives what is kept of each; left out: all of it.

        Raises:
            FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
            Unusable: They are none.
        """
        try:
            return stored_tensors(self.path, name, self.manifest.files, take)
        except Damaged as error:
            raise Unusable(f"{shown_path(self.path)} is damaged: {error}") from None

    def state(self, name: str, device: torch.device | None = None, take: Take | None = None) -> Any:
        """The state that was added under a name.

        Args:
            name: Its name.
            device: Where tensors belong that were on a device; left out: in the host's memory.
            take: Gives what is kept of each tensor; left out: all of it.

        Raises:
            FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
            Unusable: It is none.
        """
        try:
            return stored_state(self.path, name, self.manifest.files, device, take)
        except Damaged as error:
            raise Unusable(f"{shown_path(self.path)} is damaged: {error}") from None

    def code(self) -> dict[str, dict[str, str]]:
        """The source of the user's code as it was."""
        try:
            return dict(read_json(self.path / CODE))
        except InvalidFile as error:
            raise SessionError(f"{shown_path(self.path / CODE)} {error}") from None


class CheckpointStorage(ABC):
    """The stored checkpoints of one session.

    Each has a name, which begins with its step. A second state at the same step (after validation,
    or with another config) has a number behind the step. Nothing is ever replaced.
    """

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all checkpoints, the newest last."""

    @abstractmethod
    def save(
        self,
        step: int,
        bundle: CheckpointBundle,
        session: Fingerprints,
        scores: Mapping[str, float] | None = None,
        logs: Fingerprints | None = None,
    ) -> str:
        """Store a state; gives the name of its checkpoint.

        Args:
            step: The iterations done.
            bundle: The state.
            session: The fingerprints of the files of the session.
            scores: The row of the history, at the end of an epoch; finite.
            logs: Those of what the files that are only added to hold by now.

        Raises:
            OSError: It could not be written. What was there is still there.
        """

    @abstractmethod
    def write_rows(self, bundle: CheckpointBundle, rank: int, size: int) -> Path:
        """Write aside what this process has of a state that several save; gives the folder.

        Args:
            bundle: The state, as far as it is here.
            rank: The number of this process.
            size: How many they are.

        Raises:
            OSError: It could not be written.
        """

    @abstractmethod
    def write_aside(self, bundle: CheckpointBundle) -> None:
        """Write the tensors of a state where :meth:`save` will find them.

        Raises:
            OSError: They could not be written.
        """

    @abstractmethod
    def verified(self, name: str, with_history: bool = True) -> Checkpoint:
        """Read every file of a checkpoint, and see that it is what was written.

        Args:
            name: Its name.
            with_history: Whether the history up to it is needed too, as who trains needs it.

        Raises:
            SessionError: It is damaged, or cannot be read.
            LaterFormat: A later version has written it.
        """

    @abstractmethod
    def path(self, name: str) -> Path:
        """The folder of a checkpoint."""

    @abstractmethod
    def scores(self, name: str) -> dict[str, float]:
        """The row of the history that a checkpoint was saved with; empty within an epoch."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a checkpoint of this name, be it damaged or not."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take a checkpoint away."""

    @abstractmethod
    def clear_unfinished(self) -> None:
        """Remove what a process left that died while it saved."""


_NAME = re.compile(r"([0-9]{10,})(?:-([0-9]+))?")


def is_name(text: str) -> bool:
    """Whether checkpoints have such names."""
    return _NAME.fullmatch(text) is not None


@lru_cache(10_000)  # all of them are sorted whenever one is saved
def order_of(name: str) -> tuple[int, int]:
    """The step of a checkpoint, and the number of its state at that step."""
    found = _NAME.fullmatch(name)
    assert found is not None, name
    return int(found[1]), int(found[2] or 0)
