"""Workers do not outlive their process, however they were started, and leave signals to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("outlived.py")
SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
slow = pytest.mark.faults  # each worker imports torch anew


def lives(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize(
    ("way", "state"),
    [
        ("fork", "busy"),
        ("thread", "busy"),
        pytest.param("fork", "idle", marks=slow),
        pytest.param("thread", "idle", marks=slow),
        pytest.param("spawn", "idle", marks=slow),
        pytest.param("spawn", "busy", marks=slow),
        pytest.param("forkserver", "idle", marks=slow),
        pytest.param("forkserver", "busy", marks=slow),
    ],
)
def test_they_end_with_it(way: str, state: str) -> None:
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), way, state],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        workers = list(map(int, process.stdout.readline().split()))
        assert len(workers) == 2
        for worker in workers:
            for number in SIGNALS:
                os.kill(worker, number)
        time.sleep(0.3)
        assert all(map(lives, workers)), "they end before it"
        process.kill()
    until = time.monotonic() + 1
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.01)
    left = [worker for worker in workers if lives(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
