"""Checkpoints in a folder of this machine, each a folder that appears when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torchassistant.errors import SessionError, shown_path
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.state_schema import expect_form
from torchassistant.session.checkpoints.storage import (
    Checkpoint,
    CheckpointStorage,
    is_name,
    order_of,
)
from torchassistant.session.files.append_only_logs import texts_of
from torchassistant.session.files.durable_files import clear_aside, new_folder, remove_folder
from torchassistant.session.files.manifest import (
    MANIFEST,
    Damaged,
    Fingerprints,
    read_manifest,
    verified_manifest,
    write_manifest,
)
from torchassistant.whole_files import ASIDE


class LocalCheckpoints(CheckpointStorage):
    """The checkpoints of a session, each a folder named by its step.

    Args:
        folder: Holds them; it lies in the session folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scores: dict[tuple[int, ...], dict[str, float]] = {}
        """What manifests say, by the file: all are asked whenever a state is saved."""

    def names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                found = [entry.name for entry in entries if is_name(entry.name) and entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(found, key=order_of)

    def save(
        self,
        step: int,
        bundle: CheckpointBundle,
        session: Fingerprints,
        scores: Mapping[str, float] | None = None,
        logs: Fingerprints | None = None,
    ) -> str:
        same = [name for name in self.names() if order_of(name)[0] == step]
        name = f"{step:010d}"
        if same:
            name = f"{name}-{order_of(same[-1])[1] + 1}"
        # Where the folder of a session was taken away, nothing is made in its place.
        with new_folder(self.folder / name, makes_parents=False) as aside:
            files = bundle.write(aside)
            write_manifest(aside, files, session, scores, logs)
        return name

    def write_rows(self, bundle: CheckpointBundle, rank: int, size: int) -> Path:
        with self._aside() as aside:
            bundle.write_rows(aside, rank, size)
        return aside

    def write_aside(self, bundle: CheckpointBundle) -> None:
        with self._aside() as aside:
            bundle.write_aside(aside)

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        """A folder for a part of a checkpoint; it is removed where that cannot be written."""
        aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}part-", dir=self.folder))
        try:
            yield aside
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def verified(self, name: str, with_history: bool = True) -> Checkpoint:
        path = self.folder / name
        try:
            manifest = verified_manifest(path)
            logs = texts_of(self.folder.parent, manifest) if with_history else None
            spec = expect_form(path, manifest, logs)
            return Checkpoint(path, manifest, spec, logs or {})
        except Damaged as error:
            raise SessionError(f"{shown_path(path)} is damaged: {error}") from None
        except OSError as error:
            raise SessionError(f"{shown_path(path)} cannot be read: {error.strerror}") from None

    def path(self, name: str) -> Path:
        return self.folder / name

    def scores(self, name: str) -> dict[str, float]:
        path = self.folder / name
        try:
            file = os.stat(path / MANIFEST)
            which = file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns
            if which not in self._scores:
                self._scores[which] = dict(read_manifest(path).scores)
            return self._scores[which]
        except (Damaged, OSError):
            return {}

    def has(self, name: str) -> bool:
        return (self.folder / name).is_dir()

    def remove(self, name: str) -> None:
        remove_folder(self.folder / name)

    def clear_unfinished(self) -> None:
        clear_aside(self.folder)
