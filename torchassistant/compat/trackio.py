"""Where Trackio keeps its files, which it takes from the environment when it is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FOLDERS = {"TRACKIO_DIR": "", "MEDIA_DIR": "media", "ARTIFACTS_DIR": "artifacts"}
"""Names of its modules, and the folder below the one that is wanted."""

_ASKED = "_dataset_import_attempted"
"""Whether its storage has looked for data in the network, as the environment may say."""


@contextmanager
def trackio_in(folder: str) -> Iterator[Any]:
    """Its storage, while it keeps everything in a folder, and asks nobody else.

    Sets the constants of its modules that name folders, because one process may write to several;
    and ``SQLiteStorage._dataset_import_attempted``. Where a version has no such flag, nothing is
    looked for in any case.

    Raises:
        RuntimeError: This version takes its folder from somewhere else.
    """
    from trackio.sqlite_storage import SQLiteStorage

    wanted: dict[tuple[Any, str], Any] = {
        (module, constant): Path(folder, below)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "trackio"
        for constant, below in _FOLDERS.items()
        if hasattr(module, constant)
    }
    if hasattr(SQLiteStorage, _ASKED):
        wanted[SQLiteStorage, _ASKED] = True
    before = {(owner, name): getattr(owner, name) for owner, name in wanted}
    try:
        for (owner, name), value in wanted.items():
            setattr(owner, name, value)
        if SQLiteStorage.get_project_db_path("a").parent != Path(folder):
            raise RuntimeError("this version of Trackio does not let its folder be chosen")
        yield SQLiteStorage
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
