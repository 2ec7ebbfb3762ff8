"""Workers that live on from pass to pass, and how many there are where nobody says."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from torchassistant.collators import DefaultCollator
from torchassistant.data.augment import Augment
from torchassistant.data.epoch_loader import EpochLoader
from torchassistant.data.loader_factory import LoaderFactory
from torchassistant.data.multi_loader import MultiLoader
from torchassistant.data.port import Port
from torchassistant.data.workers import AUTO, chosen_workers
from torchassistant.errors import UserCodeError

COUNT = 20


class Drawn(Dataset[tuple[Tensor, int]]):
    """A random number for each example, and the process that drew it."""

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == self.broken:
            raise LookupError("unreadable")
        return index + torch.rand(()), os.getpid()


def factory(dataset: Any = None, **kwargs: Any) -> LoaderFactory:
    given = {"batch_size": 3, "num_workers": 2, "persistent_workers": True, **kwargs}
    return LoaderFactory(dataset or Drawn(), DefaultCollator(), given, "training")


def met(loader: EpochLoader, epoch: int, skipped: int = 0) -> tuple[list[list[float]], set[int]]:
    """The numbers of each batch, and the processes that they came from."""
    loader.start(epoch, skipped)
    given = [batch for batch, _ in loader.batches()]
    return [n.tolist() for n, _ in given], {p for _, pids in given for p in pids.tolist()}


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    """No process outlives its loader."""
    yield
    assert multiprocessing.active_children() == []


def test_they_give_what_new_ones_give() -> None:
    kept = factory().for_training(1)
    new = factory(persistent_workers=False).for_training(1)
    processes = set()
    for epoch, skipped in [(0, 0), (1, 0), (3, 4), (2, 0)]:
        numbers, pids = met(kept, epoch, skipped)
        assert numbers == met(new, epoch, skipped)[0]
        processes |= pids
    assert len(processes) == 2
    kept.close()


def test_a_pass_that_is_left_in_the_middle() -> None:
    kept = factory().for_training(1)
    expected, before = met(kept, 5)
    kept.start(4)
    for _ in range(2):
        batches = kept.batches()
        list(islice(batches, 2))
        batches.close()  # type: ignore[attr-defined]
    assert met(kept, 5) == (expected, before)
    kept.close()


def test_they_can_be_started_again() -> None:
    kept = factory().for_training(1)
    expected, before = met(kept, 0)
    kept.close()
    assert multiprocessing.active_children() == []
    numbers, after = met(kept, 0)
    assert numbers == expected
    assert before.isdisjoint(after)
    kept.close()
    kept.close()


def test_they_end_with_what_is_raised() -> None:
    """And can be asked again: the dataset may be better then."""
    data = MultiLoader([Port("input", factory(Drawn(7)).for_training(1), None, "training")])
    for epoch in range(2):
        with pytest.raises(UserCodeError):
            list(data.frames(epoch))
        assert multiprocessing.active_children() == []


# torch may raise the death where nobody can catch it, as in a callback of the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
def test_one_that_died_meanwhile_is_missed() -> None:
    data = MultiLoader([Port("input", factory().for_training(1), None, "training")])
    frames = list(data.frames(0))
    os.kill(frames[0]["input"]["input_2"][0].item(), signal.SIGKILL)
    with pytest.raises(UserCodeError) as caught:
        list(data.frames(1))
    assert "SIGKILL" in str(caught.value.__cause__)


class Stream(IterableDataset[int]):
    """Where it has come to is kept in the process that reads it."""

    def __init__(self) -> None:
        self.come = 0

    def __iter__(self) -> Iterator[int]:
        self.come += 1
        yield self.come


def test_workers_of_a_stream_are_started_anew() -> None:
    loader = factory(Stream(), num_workers=1).for_training(1)
    for epoch in range(2):
        loader.start(epoch)
        (((batch,), _),) = loader.batches()
        assert batch.tolist() == [1]


# As many as there is room for

COLUMNS = TensorDataset(torch.arange(6.0))


def as_it_is(value: Any) -> Any:
    return value


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (4, 3), (9, 8), (64, 8)])
def test_of_the_cores_one_is_left(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert chosen_workers(are_alike=True) == workers
    assert chosen_workers(are_alike=False) == 1


def numbers_of(dataset: Any, *augments: Augment, **kwargs: Any) -> tuple[int, int]:
    made = LoaderFactory(
        dataset, DefaultCollator(), {"num_workers": AUTO, **kwargs}, "", "", augments
    )
    made.check()
    loaders = made.for_training(0), made.for_evaluation(0)
    return loaders[0].loader.num_workers, loaders[1].loader.num_workers


def test_none_where_batches_are_cut_from_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    given = {"prefetch_factor": 4, "timeout": 60, "persistent_workers": True}
    assert numbers_of(COLUMNS, **given) == (0, 0)
    assert numbers_of(COLUMNS, Augment(as_it_is, "batches", [0], "it")) == (2, 0)
    assert numbers_of(COLUMNS, Augment(as_it_is, "examples", [0], "it")) == (2, 0)
    assert numbers_of(COLUMNS, sampler=[1, 2]) == (2, 0)
    assert numbers_of(COLUMNS, batch_size=None) == (2, 2)
    assert numbers_of(Drawn(), **given) == (2, 2)
    assert numbers_of(Stream(), **given) == (1, 1)


def test_nothing_else_is_taken_for_a_number() -> None:
    for given in ("many", 1.5, None):
        with pytest.raises(ValueError, match='must be a whole number or "auto", found'):
            LoaderFactory(COLUMNS, DefaultCollator(), {"num_workers": given}).check()


def test_a_worker_whose_process_dies_before_it_begins() -> None:
    """torch's own watch begins too late, and such a worker would wait for work for ever."""
    script = Path(__file__).with_name("dying_early.py")
    root = str(script.parents[2])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    (worker,) = map(int, done.stdout.split())
    until = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
