"""Several processes that train a session together, forked from the one that runs the tests.

Each is what torchrun would have started, with the store that torchrun would keep, but need not
import torch, which takes seconds.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO

from torch.distributed import TCPStore

from torchassistant.cli import main

PATIENCE = 60.0
"""Seconds that a test waits for its processes."""


@dataclass
class Ranks:
    """Processes that are running.

    Args:
        pids: In the order of their ranks.
        outputs: What they print.
        store: By which they find each other.
    """

    pids: list[int]
    outputs: list[IO[bytes]]
    store: TCPStore
    statuses: dict[int, int] = field(default_factory=dict)

    def wait(self, patience: float = PATIENCE) -> list[int]:
        """Their exit statuses; of one that a signal ended, its number, negative."""
        end = time.monotonic() + patience
        while len(self.statuses) < len(self.pids):
            for rank, pid in enumerate(self.pids):
                if rank not in self.statuses:
                    done, status = os.waitpid(pid, os.WNOHANG)
                    if done:
                        self.statuses[rank] = os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"after {patience} s only {self.statuses} have ended")
            time.sleep(0.01)
        return [self.statuses[rank] for rank in range(len(self.pids))]

    def have_begun(self) -> None:
        """Wait until each of several has said so: before that, a launcher looks after them."""
        for rank in range(len(self.pids) if len(self.pids) > 1 else 0):
            self.store.wait([f"torchassistant/0/alive/beat {rank}"])

    def kill(self, *ranks: int) -> None:
        """End some, or all of them, without a word."""
        for rank in ranks or range(len(self.pids)):
            if rank not in self.statuses:
                os.kill(self.pids[rank], signal.SIGKILL)

    def send(self, signum: int) -> None:
        """Send all of them a signal."""
        for pid in self.pids:
            os.kill(pid, signum)

    def printed(self, rank: int = 0) -> str:
        """What one has printed so far, on both streams."""
        self.outputs[rank].seek(0)
        return self.outputs[rank].read().decode()


@contextmanager
def ranks(count: int, run: Callable[[], int], cwd: Path | None = None) -> Iterator[Ranks]:
    """Run something in so many processes; none is left afterwards.

    Args:
        count: How many.
        run: Gives an exit status.
        cwd: Where they run.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=PATIENCE))
    outputs = [tempfile.TemporaryFile() for _ in range(count)]  # noqa: SIM115
    sys.stdout.flush()
    sys.stderr.flush()
    started = Ranks([], outputs, store)
    try:
        for rank in range(count):
            started.pids.append(_forked(rank, count, store.port, run, outputs[rank], cwd))
        yield started
    finally:
        for rank, pid in enumerate(started.pids):
            if rank not in started.statuses:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for output in outputs:
            output.close()


def train(count: int, session: Path, *arguments: str) -> tuple[list[int], list[str]]:
    """Train a session in so many processes, to its end: their statuses, and what they print."""
    with ranks(count, lambda: main(["train", str(session), *arguments], prog="train.py")) as all_:
        statuses = all_.wait()
        return statuses, [all_.printed(rank) for rank in range(count)]


def trained(count: int, session: Path, *arguments: str) -> Path:
    """The same where nothing goes wrong."""
    statuses, printed = train(count, session, *arguments)
    assert statuses == [0] * count, printed
    assert printed[1:] == [""] * (count - 1)
    return session


def _forked(
    rank: int,
    count: int,
    port: int,
    run: Callable[[], int],
    output: IO[bytes],
    cwd: Path | None,
) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which wait for nothing of ours
        pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        gc.freeze()
        os.environ.update(
            RANK=str(rank),
            WORLD_SIZE=str(count),
            LOCAL_RANK=str(rank),
            LOCAL_WORLD_SIZE=str(count),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            TORCHELASTIC_USE_AGENT_STORE="True",
        )
        for number in (1, 2):
            os.dup2(output.fileno(), number)
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
        if cwd is not None:
            os.chdir(cwd)
        status = run()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _stream(number: int) -> IO[str]:
    return open(number, "w", buffering=1, closefd=False)


def called(arguments: Sequence[str]) -> Callable[[], int]:
    """What runs a command in each of them."""
    return lambda: main([*arguments], prog="torchassistant")
