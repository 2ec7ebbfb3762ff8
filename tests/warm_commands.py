"""Commands in forks of a process that has imported torch, which takes seconds each time.

A fork runs the script itself, with arguments, a working directory, an environment and standard
streams of its own, and ends with the status that a new interpreter would end with. What happens
while Python starts or torch is imported, signals and workers that outlive a command are not for
here: tests of those start an interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

MOST_BYTES = 1 << 20
"""A request, which is one message, holds at most so many."""


class WarmCommands:
    """Starts the process, which ends with :meth:`close`; it runs one command at a time."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(
        self,
        script: str,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of the repository's root, as ``init.py``, or with ``-m`` a module.

        Args:
            script: The script, or ``-m``.
            arguments: Its arguments, beginning with the module's name if it is one.
            cwd: Where it runs.
            env: Its whole environment.
            timeout: So many seconds may it take.

        Returns:
            Its exit status, and what it printed.

        Raises:
            TimeoutError: It took longer.
        """
        request = {"called": [script, *arguments], "cwd": str(cwd), "env": dict(env)}
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):
            handles = [nothing.fileno(), output.fileno(), errors.fileno()]
            socket.send_fds(self.connection, [json.dumps(request).encode()], handles)
            self.connection.settimeout(timeout)
            try:
                status = int(self.connection.recv(MOST_BYTES))
            except TimeoutError:
                self.close()
                raise
            printed = []
            for file in (output, errors):
                file.seek(0)
                printed.append(file.read().decode())
        return subprocess.CompletedProcess([script, *arguments], status, *printed)

    def close(self) -> None:
        """End the process, and a command that runs."""
        self.connection.close()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def serve(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The request and the standard streams of a command, in its fork; None at the end."""
    while True:
        message, handles, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
        if not message:
            return None
        pid = os.fork()
        if not pid:
            connection.close()
            return json.loads(message), handles
        for handle in handles:
            os.close(handle)
        _, status = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(request: dict[str, Any], handles: list[int]) -> None:
    """Turn into a new interpreter that is about to run what was called."""
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    # Nothing may depend on the random numbers of the process that was forked.
    random.seed()
    importlib.import_module("numpy").random.seed()
    importlib.import_module("torch").seed()

    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    first = request["cwd"] if request["called"][0] == "-m" else str(ROOT)
    usual = [entry for entry in sys.path if entry not in (str(HERE), str(ROOT))]
    sys.path[:] = [first, *filter(None, searched), *usual]


def run(called: list[str]) -> int:
    """Run the script or the module; returns its exit status."""
    try:
        if called[0] == "-m":
            sys.argv[:] = called[1:]
            runpy.run_module(called[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = [str(ROOT / called[0]), *called[1:]]
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(status: int) -> NoReturn:
    """Exit as the interpreter does, but without tearing down all modules, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            status = 120
    os._exit(status)


def warm_up() -> None:
    """Import what a command imports, and what torch imports when the first optimizer is built."""
    for name in ("torchassistant.cli.commands", "torchassistant.stop_conditions", "torchmetrics"):
        importlib.import_module(name)
    torch = importlib.import_module("torch")
    torch.optim.SGD([torch.zeros(1)], lr=0.1)
    gc.freeze()


if __name__ == "__main__":
    warm_up()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        become(*asked)
        leave(run(asked[0]["called"]))
