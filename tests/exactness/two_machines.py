"""Two machines on one: network namespaces with addresses of their own, and a cable between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]

_PORT = 29611


class Machines:
    """Two of them.

    Args:
        names: Of their namespaces.
        addresses: In the same order.
    """

    def __init__(self, names: list[str], addresses: list[str]) -> None:
        self.names = names
        self.addresses = addresses
        self.launchers: list[subprocess.Popen[bytes]] = []

    def torchrun(self, machine: int, output: IO[bytes], *command: str) -> subprocess.Popen[bytes]:
        """Start the launcher of torch on one of them, with a process there."""
        environment = {
            **os.environ,
            "GLOO_SOCKET_IFNAME": "cable",
            "OMP_NUM_THREADS": "1",
        }
        launcher = [
            *("ip", "netns", "exec", self.names[machine], sys.executable, "-m"),
            *("torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"),
            *("--rdzv-backend=c10d", f"--rdzv-endpoint={self.addresses[0]}:{_PORT}"),
            # The name of this machine has one address on both.
            *("--local-addr", self.addresses[machine], f"--rdzv-conf=is_host={1 - machine}"),
        ]
        command = (*launcher, *command)
        started = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        self.launchers.append(started)
        return started

    def processes_on(self, machine: int) -> list[int]:
        """Those that run on one of them."""
        return [int(pid) for pid in _ip("netns", "pids", self.names[machine]).split()]

    def switch_off(self) -> None:
        """End all that runs there."""
        for pid in [*self.processes_on(0), *self.processes_on(1)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for launcher in self.launchers:
            launcher.wait()

    def cut_cable(self) -> None:
        """From now on nothing arrives."""
        _ip("-n", self.names[1], "link", "set", "cable", "down")


@contextmanager
def two_machines() -> Iterator[Machines | None]:
    """Two machines; None where none can be made."""
    if shutil.which("ip") is None:
        yield None
        return
    names = [f"machine-{os.getpid()}-{number}" for number in range(2)]
    addresses = ["10.77.0.1", "10.77.0.2"]
    try:
        try:
            for name in names:
                _ip("netns", "add", name)
            _ip(
                *("-n", names[0], "link", "add", "cable", "type", "veth"),
                *("peer", "name", "cable", "netns", names[1]),
            )
            for name, address in zip(names, addresses, strict=True):
                _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
                for device in ("lo", "cable"):
                    _ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError:
            yield None
            return
        machines = Machines(names, addresses)
        try:
            yield machines
        finally:
            machines.switch_off()
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
