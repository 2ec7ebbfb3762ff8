"""Files that anybody may have put there: regular ones only, no link followed, sizes bounded.

A FIFO or a device in the place of a file would hang whoever opens it, a link would lead anywhere, a
file that claims a terabyte would be read for hours, and deep JSON would exhaust the stack.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from torchassistant.sizes import size_text


class InvalidFile(Exception):
    """A file is not what a program writes; the message goes on from its name, as "is a link"."""


DEEPEST = 200
"""Levels of lists and objects that JSON may have: state that nests deeper is nobody's."""


def regular_handle(path: str | Path, access: int = os.O_RDONLY) -> int:
    """A handle of a regular file; whoever asks for it closes it.

    Args:
        path: The file; it may be reached through links, and must be none itself.
        access: What it is opened for, as ``os.O_RDWR``.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be opened.
        InvalidFile: It is no regular file.
    """
    # Asked before it is opened, because opening alone can do something to a device.
    _expect_regular(os.lstat(path).st_mode)
    try:
        handle = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidFile("is a link, and links are not followed") from None
        raise
    try:
        _expect_regular(os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def open_regular(path: str | Path, most: int | None = None) -> BufferedReader:
    """Open a regular file to read from it.

    Args:
        path: The file; it may be reached through links, and must be none itself.
        most: The most bytes that it may have; None where whoever reads bounds it.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be opened.
        InvalidFile: It is no regular file, or too large.
    """
    # Opened in one call: where an interruption comes right after it, nobody closes a handle that
    # is closed already.
    file = open(path, "rb", opener=lambda path, _: regular_handle(path))  # noqa: SIM115
    try:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise InvalidFile(f"has {size_text(size)}, and {size_text(most)} at most are read")
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | Path, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: The file; it may be reached through links, and must be none itself.
        most: The most bytes that it may have.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
        InvalidFile: It is no regular file, or too large.
    """
    with open_regular(path, most) as file:
        data = file.read(most + 1)
    if len(data) > most:  # it grew
        raise InvalidFile(f"has more than {size_text(most)}")
    return data


def parsed_json(data: bytes, deepest: int = DEEPEST) -> Any:
    """The data of a text of JSON, in UTF-8; only what JSON has, so no NaN and no half characters.

    Args:
        data: The text.
        deepest: The most levels of lists and objects.

    Raises:
        InvalidFile: It is no such text.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        if _HALF.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise InvalidFile(_too_deep(deepest)) from None
    except ValueError as error:
        raise InvalidFile(f"is not valid JSON ({_reason(error)})") from None
    if _depth_of(value) > deepest:
        raise InvalidFile(_too_deep(deepest))
    return value


def holes_of(file: BufferedReader) -> int:
    """The bytes of a file that are nowhere on the disk, and read as zeros.

    Where the file system does not tell, there are none.
    """
    handle, at, holes = file.fileno(), 0, 0
    size = os.fstat(handle).st_size
    try:
        # The end of a file counts as a hole, so that each round goes on.
        while at < size:
            begins = os.lseek(handle, at, os.SEEK_HOLE)
            if begins >= size:
                break
            try:
                at = os.lseek(handle, begins, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                at = size  # nothing but a hole up to the end
            holes += at - begins
    except (AttributeError, OSError):
        return 0
    finally:
        os.lseek(handle, 0, os.SEEK_SET)
    return holes


_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a pair of surrogates, or the first of both."""


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair is not a character"
    return str(error)


def _expect_regular(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISLNK(mode):
        raise InvalidFile("is a link, and links are not followed")
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    raise InvalidFile(f"is {kinds.get(stat.S_IFMT(mode), 'something else')}, and no regular file")


def _too_deep(deepest: int) -> str:
    return f"nests lists and objects more than {deepest} levels deep"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a valid JSON number")


def _depth_of(value: Any) -> int:
    """The levels of lists and dicts, found without recursion."""
    depth, level = 0, [value]
    while level:
        level = [
            inner
            for item in level
            if isinstance(item, (list, dict))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        depth += bool(level)
    return depth
