"""SIGINT and SIGTERM: the first asks for an end, the second ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torchassistant.errors import Interrupted
from torchassistant.training import StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_after_iteration() -> Iterator[StopRequest]:
    """The first signal is noted in a stop request; the second raises where the program is."""
    stop = StopRequest()

    def note(signum: int, frame: FrameType | None) -> None:
        if stop.signum is not None:
            raise Interrupted(signum, "stopped at once, at the second signal")
        stop.signum = signum

    with _handled_by(note):
        yield stop


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """A signal raises where the program is, so that what is half done is cleared away."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum, "nothing was changed")

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(handler: object) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, handler)  # type: ignore[arg-type]
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
