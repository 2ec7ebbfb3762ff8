"""Standard streams that a run outlives: closed, full, or unable to write a letter."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO

from torchassistant.errors import STANDARD_OUTPUT, in_one_line
from torchassistant.terminal import Colour, painted

_STANDARD = 2  # the highest number of a standard stream


class Messages:
    """Standard error, where what cannot be written is lost, and nothing else happens.

    Args:
        stream: Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Likewise."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Results(Messages):
    """Standard output, where what cannot be written is an error that says so."""

    def write(self, text: str) -> int:
        """Write.

        Raises:
            OSError: It cannot be written.
        """
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._broken(error) from None

    def flush(self) -> None:
        """Write out what is left.

        Raises:
            OSError: It cannot be written.
        """
        try:
            self._stream.flush()
        except OSError as error:
            raise self._broken(error) from None

    def _broken(self, error: OSError) -> OSError:
        # Python would try once more when it ends, and fail with a status of its own.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        return type(error)(error.errno, error.strerror, STANDARD_OUTPUT)


def prepare() -> None:
    """No message on standard error ends a run; no letter of a result ends a command."""
    # Where a standard stream is closed, the next file that is opened gets its number, and whoever
    # writes to the stream by number writes into that file.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STANDARD:
        pass
    os.close(handle)
    if not isinstance(sys.stderr, Messages):
        errors: Any = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        sys.stderr = Messages(errors)
    if sys.stdout is not None and not isinstance(sys.stdout, Results):
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
        sys.stdout = Results(sys.stdout)


def say(sentence: str, stream: TextIO | None = None) -> None:
    """Print a sentence for a person, in one line.

    Args:
        sentence: What is to be said; it may hold what anybody has written.
        stream: Where; left out: standard error.
    """
    out = sys.stderr if stream is None else stream
    text = in_one_line(sentence)
    word, colon, rest = text.partition(":")
    if colon and word in _COLOURS:
        text = f"{painted(f'{word}:', _COLOURS[word], out)}{rest}"
    print(text, file=out, flush=True)


_COLOURS: dict[str, Colour] = {"error": "red", "warning": "yellow", "hint": "cyan"}
"""Of the word with which a sentence begins."""


def expect_output() -> None:
    """For commands that are called for what they print.

    Raises:
        OSError: Standard output is closed.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed", STANDARD_OUTPUT)


def deliver() -> None:
    """Write out what is left of the results.

    Raises:
        OSError: It cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
