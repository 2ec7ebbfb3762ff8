"""A command in several processes: they are started, print as one, and end together."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TypeVar

from torchassistant.cli.exit_status import DONE, status_of
from torchassistant.errors import EndedElsewhere
from torchassistant.parallel import Launched, Processes, connected

T = TypeVar("T")

_TIMEOUT = 60.0
"""Seconds without a sign of life, until the config is read."""

_ENDING = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR2,SIGXCPU"
"""What the launcher hands on, and ends after."""


def in_processes(place: Launched | None, run: Callable[[Processes], int]) -> int:
    """Run a command in all processes that a launcher has started.

    Only the first one prints; what ends another is told there.

    Args:
        place: What this process is; None where it is alone.
        run: The command.
    """
    if place is None or place.size == 1:
        return run(Processes())
    if place.rank:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # as long as it runs
    try:
        with connected(place, _TIMEOUT) as processes:
            return _told(processes, run)
    except EndedElsewhere as error:
        if error.speaks and error.message:
            print(f"error: {error.message}", file=sys.__stderr__, flush=True)
        return error.status


def _told(processes: Processes, run: Callable[[Processes], int]) -> int:
    """Run a command; where it fails, all others are told."""
    if processes.is_first:
        status = status_of(lambda: run(processes))
        message = ""
    else:
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            try:
                status = status_of(lambda: run(processes))
            except Exception:
                traceback.print_exc()
                status = 1
        text = printed.getvalue().strip().removeprefix("error: ")
        message = f"in the process of rank {processes.rank}: {text}"
    if status in (1, 2):
        processes.fail(message, status)
    return status


def first_before_others(processes: Processes, make: Callable[[], T]) -> T:
    """Make something in the first process, which may fetch and store what it needs; then in all."""
    if processes.is_first:
        made = make()
        processes.wait()
        return made
    processes.wait()
    return make()


def start_processes(count: int) -> int:
    """Run this command once more, in so many processes, by the launcher of torch.

    Returns:
        The exit status of the first one that has failed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # What its C++ code warns of when a connection ends is told here in a sentence.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0))
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores // count))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        signals_to_handle=_ENDING,
    )
    signal.signal(signal.SIGUSR1, _hand_on)
    command = [sys.executable, *_as_called()]
    try:
        elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as error:
        codes = [failure.exitcode for _, failure in sorted(error.failures.items())]
        return next((code for code in codes if code > 0), 1)
    except SignalException as error:
        return 128 + int(error.sigval)
    return DONE


def _as_called() -> list[str]:
    """The script, or the module, of this process, with its arguments."""
    script = Path(sys.argv[0])
    if script.suffix == ".py" and script.name != "__main__.py":
        return sys.argv
    return ["-m", "torchassistant", *sys.argv[1:]]


def _hand_on(signum: int, frame: FrameType | None) -> None:
    """Hand a signal on to the processes that this one has started."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        for child in own.read_text().split():
            os.kill(int(child), signum)
