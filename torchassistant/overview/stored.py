"""What stands in the files of a session, read as it is, by whoever only looks.

A session may be trained meanwhile: a checkpoint is removed, a line is half written. It may be
damaged, or be none. So nothing is verified here, and nothing is taken for granted.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchassistant.files import InvalidFile, parsed_json, read_regular
from torchassistant.lock_holder import lock_holder

SPEC, ENVIRONMENT, CODE, STATE = "spec.json", "environment.json", "code.json", "state.json"
_CHECKPOINTS, _METRICS = "checkpoints", "metrics"
_MOST = 2**28
_CHECKPOINT = re.compile(r"([0-9]{10,})(?:-([0-9]+))?")

Row = dict[str, float]


class Unreadable(Exception):
    """A file of a session cannot be used; the message is a sentence."""


def looks_like_session(folder: Path) -> bool:
    """Whether a folder is a session, or what is left of one."""
    return (folder / SPEC).is_file() or (
        (folder / ENVIRONMENT).is_file() and (folder / _CHECKPOINTS).is_dir()
    )


def object_in(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        Unreadable: It holds something else, or cannot be read.
    """
    try:
        data = parsed_json(read_regular(path, _MOST))
    except FileNotFoundError:
        raise
    except InvalidFile as error:
        raise Unreadable(f"{path.name} {error}") from None
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise Unreadable(f"{path.name} holds no JSON object")
    return data


def required(folder: Path, name: str) -> dict[str, Any]:
    """The object in a file that each session has.

    Raises:
        Unreadable: It is missing, or holds something else.
    """
    try:
        return object_in(folder / name)
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable(f"{name} is missing") from None


def stages_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages of a config.

    Raises:
        Unreadable: It has none.
    """
    train = spec.get("train")
    stages = train.get("stages") if isinstance(train, dict) else None
    if not (isinstance(stages, list) and stages and all(isinstance(s, dict) for s in stages)):
        raise Unreadable(f"{SPEC} has no stages")
    return stages


def in_newest_checkpoint(folder: Path, name: str) -> dict[str, Any]:
    """The object in a file of the newest checkpoint that has it.

    Raises:
        Unreadable: There is none.
    """
    checkpoints = sorted(_checkpoints(folder), reverse=True)
    for _, _, checkpoint in checkpoints:
        try:
            return object_in(folder / _CHECKPOINTS / checkpoint / name)
        except (FileNotFoundError, NotADirectoryError):
            continue  # whoever trains removes old ones
    raise Unreadable(f"no checkpoint has {name}" if checkpoints else "there is no checkpoint")


def _checkpoints(folder: Path) -> Iterator[tuple[int, int, str]]:
    try:
        names = os.listdir(folder / _CHECKPOINTS)
    except OSError:
        return
    for name in names:
        found = _CHECKPOINT.fullmatch(name)
        if found is not None:
            yield int(found[1]), int(found[2] or 0), name


def rows_of(folder: Path, stage: int) -> list[Row]:
    """The rows of a stage, as :func:`rows_in` reads them."""
    return rows_in(folder, f"{_METRICS}/{stage}.csv")


def rows_in(folder: Path, name: str) -> list[Row]:
    """The rows of a file, as far as they are whole; of each, the cells that hold a number.

    Args:
        folder: The session.
        name: Of the file, as ``metrics/0.csv``; where there is none, there are no rows.

    Raises:
        Unreadable: The file is no history.
    """
    try:
        text = read_regular(folder / name, _MOST)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except InvalidFile as error:
        raise Unreadable(f"{name} {error}") from None
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror}") from None
    whole = text[: text.rfind(b"\n") + 1]
    try:
        lines = csv.reader(io.StringIO(whole.decode("utf-8"), newline=""))
        header = next(lines, [])
        return [
            {column: float(cell) for column, cell in zip(header, line, strict=True) if cell}
            for line in lines
        ]
    except (ValueError, csv.Error) as error:
        raise Unreadable(f"{name} is not a history: {error}") from None


def trainer_of(folder: Path) -> int | None:
    """The process that trains a session; None where there is none, or the system does not tell."""
    try:
        handle = os.open(folder / ENVIRONMENT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return lock_holder(handle)
    except OSError:
        return None
    finally:
        os.close(handle)


def size_and_time(folder: Path) -> tuple[int, float]:
    """The bytes of all files of a session, and when one of them was last written."""
    size, newest, folders = 0, 0.0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                            continue
                        found = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    size += found.st_size
                    newest = max(newest, found.st_mtime)
        except OSError:
            continue
    return size, newest
