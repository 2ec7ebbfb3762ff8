"""A report that is written again and again while its sessions are trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from torchassistant.report.content import Report

SECONDS = 10.0
"""Between two looks at the sessions."""

_SHARE = 20
"""A look may take one part in so many of the time, so that training is not held up."""


def follow(
    read: Callable[[float | None], Report],
    write: Callable[[Report], None],
    seconds: float = SECONDS,
) -> None:
    """Write a report until nobody trains its sessions any more, or the person interrupts.

    The last one that is written is loaded by browsers once, and not again.

    Args:
        read: Reads the report, which is to be read again after so many seconds.
        write: Writes it.
        seconds: Between two looks.
    """
    begun: set[str] = set()
    with suppress(KeyboardInterrupt):
        for pause in _pauses(seconds):
            report = read(pause)
            begun |= {one.name for one in report.sessions if one.summary.process is not None}
            if all(
                one.summary.condition in ("finished", "damaged")
                or (one.name in begun and one.summary.process is None)
                for one in report.sessions
            ):
                break
            write(report)
            time.sleep(pause)
    write(read(None))


def _pauses(seconds: float) -> Iterator[float]:
    """So many seconds, and more where a look takes long."""
    pause = seconds
    while True:
        began = time.monotonic()
        yield pause
        pause = max(seconds, (time.monotonic() - began - pause) * _SHARE)
