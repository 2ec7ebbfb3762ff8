"""The library's messages on standard error, as users of the commands read them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torchassistant.cli.streams import say
from torchassistant.messages import commands

_PREFIXES = {logging.WARNING: "warning: ", logging.ERROR: "error: "}


class StderrHandler(logging.Handler):
    """Prints each message in a line, with a word in front that says how grave it is."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"{_PREFIXES.get(record.levelno, '')}{record.getMessage()}")


@contextmanager
def messages_on_stderr() -> Iterator[None]:
    """Show all messages, and each of them once, whatever the user's code makes of logging."""
    commands.append(StderrHandler())
    try:
        yield
    finally:
        commands.pop()
