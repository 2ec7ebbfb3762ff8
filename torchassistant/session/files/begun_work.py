"""Work on many sessions that goes on where it was, in a folder whose file says what it is about."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.files import InvalidFile
from torchassistant.session.files.durable_files import read_json


def begun_work(
    about: Path, kind: str, keys: Mapping[str, type], others: Collection[str] = ()
) -> dict[str, Any] | None:
    """What the work in a folder is about; None where none has begun.

    Args:
        about: The file in the folder that says it.
        kind: What the work is, for people.
        keys: What the file holds, with the types of the values.
        others: Names of what may be there before that file is.

    Raises:
        SessionError: The folder holds something else, or is none; or the file is damaged.
    """
    folder, shown = about.parent, shown_path(about.parent)
    if folder.exists() and not folder.is_dir():
        raise SessionError(f"{shown} is there, and is no folder")
    found = stored_json(about)
    if found is None and folder.exists():
        names = (name for name in os.listdir(folder) if not name.startswith("."))
        if any(name not in others for name in names):
            raise SessionError(f"{shown} exists already, and is no {kind}")
    if found is None:
        return None
    if not isinstance(found, dict) or any(type(found.get(k)) is not t for k, t in keys.items()):
        raise SessionError(f"{shown_path(about)} is damaged, or of something else")
    return found


def expect_same_work(
    folder: Path, was: Mapping[str, Any], now: Mapping[str, Any], another: str
) -> None:
    """See that work goes on as it was begun.

    Args:
        folder: Its folder.
        was: What was asked for then.
        now: What is asked for now.
        another: How other work is begun.

    Raises:
        SessionError: Something else is asked for now.
    """
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            raise SessionError(
                f'{shown_path(folder)} was begun with another "{key}": {was.get(key)!r}, not '
                f"{now.get(key)!r}; {another}"
            )


def stored_json(file: Path) -> Any:
    """The data of a JSON file; None where there is none.

    Raises:
        SessionError: It is none.
    """
    try:
        return read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except InvalidFile as error:
        raise SessionError(f"{shown_path(file)} {error}") from None
