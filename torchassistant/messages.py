"""The library's own messages: records of the logger ``torchassistant`` and of its children.

A warning is about what is allowed, and probably not meant; an error is what a run goes on after; an
info is what is done, as a download. Commands show all of them on standard error. In Python they go
where ``logging`` brings them: warnings and errors to standard error, unless the program says
otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from torchassistant.errors import in_one_line

ROOT = "torchassistant"

commands: list[logging.Handler] = []
"""The handler of a command while it runs, which gets every message.

Code of the user's may disable loggers, as ``logging.config.dictConfig`` does unless it is told not
to; what a command shows does not depend on that.
"""


class MessageLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose messages are one line each, and control no terminal.

    They hold names, paths and errors that anybody may have written.
    """

    def log(self, level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
        if not commands:
            super().log(level, msg, *args, **{"stacklevel": 2, **kwargs})
            return
        text, _ = self.process(msg, {})
        commands[-1].handle(self.logger.makeRecord(ROOT, level, "", 0, text, args, None))

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return in_one_line(str(msg)), kwargs


def logger_for(module: str) -> MessageLogger:
    """The logger of a module of this package, by its ``__name__``."""
    return MessageLogger(logging.getLogger(module), {})
