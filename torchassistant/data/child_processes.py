"""Processes that this program starts: they do not outlive it, and leave signals to it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType


def _present(*names: str) -> tuple[signal.Signals, ...]:
    """The signals of these names that the system has."""
    return tuple(signal.Signals[name] for name in names if hasattr(signal, name))


STOPPING = _present("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2", "SIGXCPU")
"""What ends a run, after it is saved. Terminals and batch systems send it to the whole group."""

SAVING = _present("SIGUSR1")
"""What asks for the state, and lets the run go on."""


@contextmanager
def signals_held_back(method: str) -> Iterator[None]:
    """Processes are started in here.

    A signal must not meet one that still has the handlers of the process that it is a copy of, or
    none yet; it lets them through when it is ready. Another process may be started for them right
    away, so what is to hold for all that are started in here is entered first.

    Args:
        method: How they are started: ``fork``, ``spawn``, ``forkserver``.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING + SAVING)
    try:
        if method != "fork":
            # Started along with the first of them, it would let some of these signals through.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING + SAVING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """Processes are started in here; each calls :func:`keep_inherited_garbage` before all else.

    What lies in cycles in this process may be memory of a GPU, which a copy of the process cannot
    give back: it would be aborted if it collected it.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def keep_inherited_garbage() -> None:
    """Collect garbage from now on, but none that this process has a copy of.

    That also leaves those pages of memory shared which the collector would touch.
    """
    gc.freeze()
    gc.enable()


def disregard_stop_signals() -> None:
    """Do nothing at signals that a whole group gets: this process is ended by its parent.

    They are not ignored, as what this process runs in its turn would ignore them too.
    """
    for number in STOPPING + SAVING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _do_nothing)
            signal.siginterrupt(number, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING + SAVING)


def _do_nothing(signum: int, frame: FrameType | None) -> None:
    """The parent got it too."""


def is_first_thread() -> bool:
    """Whether the thread that asks is the one that the process began with, and ends with."""
    if sys.platform == "linux":
        return threading.get_native_id() == os.getpid()
    return threading.current_thread() is threading.main_thread()


def end_with_parent(by_first_thread: bool) -> None:
    """Let this process not outlive the one that started it, however that ends.

    Args:
        by_first_thread: Whether :func:`is_first_thread` held where this process was started. The
            system signals the end of the thread that has started it, and another one may end
            long before its process.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    # It is another where the parent is gone, or where a server has started this process.
    is_child = os.getppid() == parent.pid
    if sys.platform == "linux" and by_first_thread and is_child:
        ctypes.CDLL(None).prctl(_SIGNAL_AT_DEATH_OF_PARENT, signal.SIGKILL)
        if os.getppid() != parent.pid:
            os._exit(1)
        return
    wait = _waiting_for(parent.pid)
    if not parent.is_alive():
        os._exit(1)
    ended = parent.join if wait is None else wait
    threading.Thread(target=_end_after, args=(ended,), daemon=True).start()


_SIGNAL_AT_DEATH_OF_PARENT = 1
"""An option of prctl(2)."""


def _waiting_for(pid: int) -> Callable[[], object] | None:
    """Waits for the end of a process, where the system has a handle of it."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(1)
    except OSError:
        return None
    ended = select.poll()
    ended.register(handle, select.POLLIN)
    return ended.poll


def _end_after(wait: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        wait()
        os._exit(1)
