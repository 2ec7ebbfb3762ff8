"""A config file, in JSON or in YAML → a tree that knows the position of every key and value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torchassistant.config.forms import scan
from torchassistant.config.text import MAX_BYTES, Text
from torchassistant.errors import ConfigError, Place, Problem, nearest


def read_file(path: str | Path) -> Text:
    """Read a config file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is no UTF-8 text.
    """
    return scan(read_source(path), str(path))


def read_source(path: str | Path) -> str:
    """The text of a config file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is no UTF-8 text.
    """
    file = str(path)
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileNotFoundError):
            reason += _namesake(Path(path))
        raise ConfigError(Problem(f"cannot read the file: {reason}", Place(file))) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(Problem(f"the file has more than {MAX_BYTES:,} bytes", Place(file)))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place = Place(file, line, column)
        raise ConfigError(Problem("this byte is not UTF-8 text", place)) from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO that nobody writes to is empty, and one from a shell is read."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    return handle


def _namesake(path: Path) -> str:
    """A clause that names a file beside, where one is named alike."""
    try:
        beside = {Path(name).stem: name for name in os.listdir(path.parent)}
    except OSError:
        return ""
    meant = nearest(path.stem, beside)
    return f'; did you mean "{path.parent / beside[meant]}"?' if meant else ""


def read_text(text: str, file: str = "") -> Any:
    """Read a config from text that has to be right.

    Args:
        text: As :func:`scan` takes it.
        file: The name under which problems are reported.

    Raises:
        ConfigError: The text is not such a config; every problem has line and column.
    """
    found = scan(text, file)
    if found.problems:
        raise ConfigError(*found.problems)
    return found.tree
