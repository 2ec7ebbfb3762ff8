"""Workers do not outlive their process, however they were started, and leave signals to it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.utils.data import Dataset

from torchassistant.collators import DefaultCollator
from torchassistant.data.loader_factory import LoaderFactory

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
    until = time.monotonic() + 30
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.01)
    left = [worker for worker in workers if lives(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left


class Garbage:
    """In a cycle, and notes in which process it was collected."""

    def __init__(self, note: Path) -> None:
        self.note = note
        self.itself = self

    def __del__(self) -> None:
        self.note.write_text(str(os.getpid()))


class Collecting(Dataset[int]):
    """Collects garbage wherever it is read."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        gc.collect()
        return index


def test_a_copy_of_a_process_leaves_its_garbage_alone(tmp_path: Path) -> None:
    """Memory of a GPU that lies there in cycles would abort it."""
    note = tmp_path / "collected in"
    factory = LoaderFactory(Collecting(), DefaultCollator(), {"num_workers": 1})
    batches = factory.for_evaluation(0).batches()
    gc.collect()
    Garbage(note)
    assert len(list(batches)) == 2
    assert not note.exists() or note.read_text() == str(os.getpid())
    gc.collect()
    assert note.read_text() == str(os.getpid())
    assert gc.isenabled()
