"""Folders of a callback's own in the folder of the session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchassistant.callbacks.events import Event
from torchassistant.errors import DataError
from torchassistant.whole_files import naming, sync_path
from torchassistant.writing import expect_folder_name


def own_folder(event: Event, below: Sequence[str]) -> Path:
    """The folder of a callback, which may not be there yet.

    Args:
        event: Of the callback, whose name is that of the folder.
        below: The folders, each in the one before, in which it is; the first in the session's.

    Raises:
        DataError: It cannot have one, by its name; or a link stands there, and is not followed.
    """
    # Names in a config are checked; one that train() is given may be anything.
    expect_folder_name(event.name)
    folder = Path(event.session.path, *below, event.name)
    for part in _parts(folder, below):
        if part.is_symlink():
            raise DataError(f"{part} is a link, and links are not followed")
    return folder


def make_folder(folder: Path, below: Sequence[str]) -> None:
    """Make what :func:`own_folder` gave, where it is missing, so that it stays.

    Raises:
        NotWritten: It cannot be made.
    """
    with naming(folder):
        for part in _parts(folder, below):
            if not part.exists():
                part.mkdir()
                sync_path(part.parent)


def _parts(folder: Path, below: Sequence[str]) -> list[Path]:
    """The folder, and those in which it is, the outermost first."""
    return [*reversed(folder.parents[: len(below)]), folder]
