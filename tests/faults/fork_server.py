"""A fork server: it has imported torch, so that starting a victim takes milliseconds.

It reads requests, one JSON object a line, and answers each with one:

- ``start``: fork a process that runs a command of TorchAssistant, in a process session of its own,
  as a fresh interpreter would. It waits for ``release``.
- ``release``: let it run.
- ``wait``: its exit status, or null if it still runs after some seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

import numpy as np
import patches
import torch

from torchassistant.cli.main import main

Request = dict[str, Any]


class ForkServer:
    """Answers requests until there are no more, then kills processes that still run."""

    def __init__(self) -> None:
        self.gates: dict[int, int] = {}
        self.running: set[int] = set()
        self.requests = os.fdopen(os.dup(0), encoding="utf-8", closefd=True)
        self.answers = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)

    def serve(self) -> Request | None:
        """The request of a victim, in the victim; None at the end, in the fork server."""
        for line in self.requests:
            request = json.loads(line)
            if request["do"] == "start":
                pid = self.start()
                if pid == 0:
                    return request
                answer: Any = pid
            elif request["do"] == "release":
                os.write(self.gates[request["pid"]], b"1")
                os.close(self.gates.pop(request["pid"]))
                answer = None
            else:
                answer = self.status(request["pid"], request["seconds"])
            os.write(self.answers, (json.dumps(answer) + "\n").encode())
        for pid in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        return None

    def start(self) -> int:
        """Fork; 0 in the child, which comes back when it is released."""
        gate, release = os.pipe()
        pid = os.fork()
        if pid:
            os.close(gate)
            self.gates[pid] = release
            self.running.add(pid)
            return pid
        os.setsid()
        self.requests.close()
        for handle in (*self.gates.values(), release, self.answers):
            os.close(handle)
        if not os.read(gate, 1):
            os._exit(0)  # The fork server has gone.
        os.close(gate)
        return 0

    def status(self, pid: int, seconds: float) -> int | None:
        """The exit status; negative where a signal ended it."""
        until = time.monotonic() + seconds
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.running.discard(pid)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                return None
            time.sleep(0.002)


def become(request: Request) -> list[str]:
    """Turn into the requested process; returns the arguments of its command."""
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    for name in request["patches"]:
        getattr(patches, name)()
    for handle, path in request["files"].items():
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), int(handle))
    for handle in request["closed"]:
        os.close(handle)
        # As the interpreter does if it finds them closed.
        name = ("stdin", "stdout", "stderr")[handle]
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)
    if request["user"] is not None:
        become_user(request["user"])
    # Nothing may depend on the RNG state of the fork server.
    random.seed()
    np.random.seed()
    torch.seed()
    return request["command"]


def become_user(number: int) -> None:
    """Turn from root into a user who may read everything, as the interpreter's own modules."""
    libc = ctypes.CDLL(None, use_errno=True)
    keep_capabilities, version, read_everything = 8, 0x20080522, 1 << 2
    libc.prctl(keep_capabilities, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(number)
    os.setuid(number)
    header = (ctypes.c_uint32 * 2)(version, 0)
    # Effective, permitted, inheritable; once for each half of the capabilities.
    wanted = (ctypes.c_uint32 * 6)(read_everything, read_everything, 0, 0, 0, 0)
    assert libc.capset(header, wanted) == 0, os.strerror(ctypes.get_errno())


def warm_up() -> None:
    """Import what a command imports, and what torch imports when the first optimizer is built."""
    for name in ("torchassistant.cli.commands", "torchassistant.stop_conditions"):
        importlib.import_module(name)
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1)], lr=0.1)
    gc.freeze()
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, "a fork of a process with several threads is not a faithful copy"


def leave(status: int) -> NoReturn:
    """Exit like the interpreter, but without tearing down all modules, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            status = 120
    os._exit(status)


if __name__ == "__main__":
    warm_up()
    wanted = ForkServer().serve()
    if wanted is not None:
        arguments = become(wanted)
        sys.argv = [f"{arguments[0]}.py", *arguments[1:]]
        try:
            ended = main(arguments, prog=sys.argv[0])
        except SystemExit as error:
            ended = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
            ended = 1
        leave(ended)
