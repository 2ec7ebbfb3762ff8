"""What has changed since a session was saved, until it is trained and that is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from torchassistant.assembly import TakenWeights
from torchassistant.session.changes.changes import Change, log_of
from torchassistant.session.files.append_only_logs import CHANGES, Logs
from torchassistant.session.files.manifest import Fingerprints
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.training import Progress


@dataclass(frozen=True, slots=True)
class Pending:
    """Changes of a session that its folder does not know yet.

    Args:
        changes: In the config, and in the user's code.
        splits: The splits that were drawn, by name: one int64 tensor of indices a slice.
        weights: What became of the weights of models that were added, by name.
    """

    changes: Sequence[Change] = ()
    splits: Mapping[str, list[torch.Tensor]] = field(default_factory=dict)
    weights: Mapping[str, TakenWeights] = field(default_factory=dict)

    @property
    def is_any(self) -> bool:
        """Whether there is something to write down."""
        return bool(self.changes or self.splits)

    def write(
        self, folder: SessionFolder, logs: Logs, files: Fingerprints, progress: Progress
    ) -> Fingerprints:
        """Write it into the session.

        Args:
            folder: Of the session.
            logs: Gets the changes.
            files: The fingerprints of the files of the session that never change.
            progress: Where the session is.

        Returns:
            The fingerprints of those from now on.
        """
        files = folder.add_splits(files, self.splits, progress.step)
        files = folder.add_weights(files, self.weights, progress.step)
        logs.add(CHANGES, log_of([change.entry(progress) for change in self.changes]))
        return files
