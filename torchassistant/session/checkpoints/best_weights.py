"""The weights of the best states, as files that need no session: copies of what checkpoints hold.

They are brought to the stored checkpoints after each save, and as training begins. Nothing tells
which checkpoint they are of: whether they are up to date, their bytes say.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from torchassistant.config import as_file_name
from torchassistant.errors import SessionError
from torchassistant.session.checkpoints.bundle import files_of_parts
from torchassistant.session.checkpoints.retention import Best
from torchassistant.session.checkpoints.storage import Checkpoint, CheckpointStorage
from torchassistant.session.files.durable_files import (
    as_safetensors,
    clear_aside,
    differing,
    holds,
    new_folder,
    refuse_links,
    remove_folder,
)

WEIGHTS, BEST = "weights", "best"
_SUFFIX = ".safetensors"


class BestWeights:
    """Keeps in ``weights/best/MONITOR`` the models of what ``--checkpoint best-MONITOR`` chooses.

    Args:
        session: The session folder.
        storage: Its checkpoints.
        bests: By which monitors the best are known, whether or not their weights are wanted.
    """

    def __init__(self, session: Path, storage: CheckpointStorage, bests: Iterable[Best]) -> None:
        self.session = session
        self.folder = session / WEIGHTS / BEST
        self.storage = storage
        self.bests = {as_file_name(best.monitor): best for best in bests if best.weights_only}
        self._shown: dict[str, str] = {}
        """The checkpoint that each folder is known to be of."""
        self._damaged: set[str] = set()

    @property
    def has_any(self) -> bool:
        """Whether there are such files, or are to be."""
        return bool(self.bests) or os.path.lexists(self.folder)

    def begin(self) -> None:
        """Repair what a process left that died, and remove what is not wanted any more.

        Raises:
            OSError: Something could not be written.
            SessionError: A link stands there.
        """
        refuse_links(self.session, (WEIGHTS,))
        if self.folder.is_dir():
            clear_aside(self.folder)
            for path in self.folder.iterdir():
                if path.name not in self.bests and _is_ours(path):
                    remove_folder(path)
        self.update()

    def update(self) -> None:
        """Bring the files to the stored checkpoints; nothing is read where the best is the same.

        Raises:
            OSError: Something could not be written.
            SessionError: A link stands there.
        """
        if not self.bests:
            return
        refuse_links(self.session, (WEIGHTS,))
        scores = {name: self.storage.scores(name) for name in self.storage.names()}
        for name, best in self.bests.items():
            self._bring(self.folder / name, replace(best, keep=len(scores)).among(scores))

    def _bring(self, folder: Path, ranked: Iterable[str]) -> None:
        """Let a folder show the best state that is not damaged."""
        for name in ranked:
            if name in self._damaged:
                continue
            if self._shown.get(folder.name) == name:
                return
            try:
                checkpoint = self.storage.verified(name, with_history=False)
            except SessionError:
                self._damaged.add(name)
                continue
            _copy(checkpoint, folder)
            self._shown[folder.name] = name
            return
        if folder.is_dir():
            remove_folder(folder)


def _copy(checkpoint: Checkpoint, folder: Path) -> None:
    """Put the models of a checkpoint into a folder: all of them at once, or none."""
    files = checkpoint.manifest.files
    models = {Path(n).name: files[n] for n in files if n.startswith("models/")}
    in_parts = [n for n in models if files_of_parts(f"models/{n}", files)]

    def whole(name: str) -> bytes:
        return as_safetensors(checkpoint.tensors(f"models/{name.removesuffix(_SUFFIX)}"))

    if not _holds(folder, models, {name: partial(whole, name) for name in in_parts}):
        with new_folder(folder, replaces=folder.exists()) as aside:
            for name in models:
                if name in in_parts:
                    (aside / name).write_bytes(whole(name))
                else:
                    shutil.copyfile(checkpoint.path / "models" / name, aside / name)


def _holds(
    folder: Path,
    models: Mapping[str, Mapping[str, object]],
    joined: Mapping[str, Callable[[], bytes]],
) -> bool:
    """Whether a folder has these files, as their fingerprints say, or as their parts do."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    copied = {name: found for name, found in models.items() if name not in joined}
    return (
        there == models.keys()
        and not any(differing(folder, copied))
        and all(holds(folder / name, whole()) for name, whole in joined.items())
    )


def _is_ours(path: Path) -> bool:
    return path.is_dir() and all(file.name.endswith(_SUFFIX) for file in path.iterdir())
