"""Signals that end a run: the first asks for an end, and who insists gets it at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import FrameType

from torchassistant.cli.save_signal import save_requests_to
from torchassistant.data import STOPPING
from torchassistant.errors import Interrupted
from torchassistant.training import StopRequest

_INSISTING = (signal.SIGINT, signal.SIGTERM)
"""The second of these ends at once. Others come again by themselves: when a terminal is closed
both the system and the shell send SIGHUP, and SIGXCPU is repeated each second."""

PATIENCE = 6.0
"""Seconds that an iteration is given to come to its end."""

_LAST_RESORT = 3.0
"""Seconds that the program is given to end, when it was told to do so at once."""


@contextmanager
def stopping_after_iteration(saves: bool = False) -> Iterator[StopRequest]:
    """The first signal is noted in a stop request; who insists is answered where the program is.

    The clock insists too, where the iteration at hand takes too long: who asks a process to end
    will not wait for ever, and kills it then.

    Args:
        saves: Whether there is a state, which SIGUSR1 asks for.
    """
    stop = StopRequest()
    insists = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal insists
        is_first, again = stop.signum is None, insists and signum in _INSISTING
        insists = insists or signum in _INSISTING
        if is_first or again:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE if is_first else _LAST_RESORT)
            stop.ask(signum)

    def ring(signum: int, frame: FrameType | None) -> None:
        if stop.signum is None or (stop.saving and not stop.at_once):
            return
        if stop.at_once:
            # Somebody answers every exception, or waits for what does not come.
            _end_now(stop.signum)
        signal.setitimer(signal.ITIMER_REAL, _LAST_RESORT)
        stop.give_up(stop.signum, f"stopped during an iteration of more than {PATIENCE:g} s")

    try:
        with (
            _handled_by(dict.fromkeys(STOPPING, ask) | {signal.SIGALRM: ring}),
            save_requests_to(stop.ask_save) if saves else nullcontext(),
        ):
            yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_now(signum: int) -> None:
    """End without asking any code; what is saved is intact at every moment."""
    for child in multiprocessing.active_children():
        child.kill()
    print("ended: the program did not stop when it was asked to", file=sys.stderr, flush=True)
    os._exit(128 + signum)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """A signal raises where the program is, so that what is half done is cleared away."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum, "nothing was changed")

    with _handled_by(dict.fromkeys(STOPPING, stop)):
        yield


@contextmanager
def _handled_by(handlers: Mapping[signal.Signals, object]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in handlers}
    if before.get(signal.SIGHUP) == signal.SIG_IGN:
        del before[signal.SIGHUP]  # as nohup wants it
    try:
        for number in before:
            signal.signal(number, handlers[number])  # type: ignore[arg-type]
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
