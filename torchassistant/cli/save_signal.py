"""SIGUSR1 asks for the state to be saved, at any moment; it ends no process.

A batch system may send it while the program still loads, so that it is listened to before anything
large is imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STANDARD_ERROR = 2


class _Listener:
    """What becomes of a signal.

    Attributes:
        trains: Whether the command is one that trains.
        is_asked: Whether there was one before anything could handle it.
        then: What handles it.
    """

    def __init__(self) -> None:
        self.trains = False
        self.is_asked = False
        self.then: Callable[[], None] | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.then is not None:
            self.then()
        elif self.trains:
            self.is_asked = True
            _write(
                "SIGUSR1: the state will be saved after the first iteration; training has not begun"
            )
        else:
            _write("SIGUSR1: nothing is trained, so there is nothing to save")


_listener = _Listener()


def listen(trains: bool) -> None:
    """Do not end at SIGUSR1 from here on.

    Args:
        trains: Whether the command is one that trains.
    """
    if hasattr(signal, "SIGUSR1"):
        _listener.trains, _listener.is_asked = trains, False
        signal.signal(signal.SIGUSR1, _listener.handle)


@contextmanager
def save_requests_to(then: Callable[[], None]) -> Iterator[None]:
    """Something is trained in here.

    Args:
        then: Requests a save; called at once, where somebody has asked already.
    """
    _listener.then = then
    try:
        if _listener.is_asked:
            _listener.is_asked = False
            then()
        yield
    finally:
        _listener.then, _listener.trains = None, False


def stop_listening() -> None:
    """The program is at its end: there, Python would let the signal end it after all."""
    if hasattr(signal, "SIGUSR1") and signal.getsignal(signal.SIGUSR1) == _listener.handle:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _write(line: str) -> None:
    """Write past the streams of Python, which may be in use when a signal comes."""
    with contextlib.suppress(OSError):
        os.write(_STANDARD_ERROR, f"{line}\n".encode())
