"""The workers of torch's loader: what is private of them, and what is done without."""

from __future__ import annotations

import os
import signal
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils import data
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data._utils import signal_handling

from torchassistant.compat import data_loader
from torchassistant.data.workers import Workers
from torchassistant.errors import WorkerLost

NUMBERS = torch.arange(6)


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(6))


class Ending(TensorDataset):
    """Ends the process that asks for the last example."""

    def __getitem__(self, index: int) -> Any:
        if index == len(self) - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def loader_of(dataset: Any = None, **given: Any) -> DataLoader[Any]:
    made = TensorDataset(NUMBERS) if dataset is None else dataset
    kwargs = {"batch_size": 2, "num_workers": 1, "persistent_workers": True, **given}
    return DataLoader(made, **kwargs)


def seen(workers: Workers) -> list[str]:
    return [str(batch) for batch in workers.batches()]


@pytest.fixture
def taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ITERATOR", "_WORKERS", "_SHUT_DOWN"):
        monkeypatch.setattr(data_loader, name, "_taken_away")
    monkeypatch.delattr(data, "_utils")


def test_the_workers_of_an_iterator_are_known() -> None:
    loader = loader_of()
    iterator = iter(loader)
    assert iterator is loader._iterator
    (worker,) = data_loader.workers_of(iterator)
    assert worker.is_alive()
    end = data_loader.ending_of(iterator)
    assert end is not None
    end()
    assert not worker.is_alive()


def test_a_loader_in_process_has_none() -> None:
    iterator = iter(loader_of(num_workers=0, persistent_workers=False))
    assert data_loader.workers_of(iterator) == []
    assert data_loader.ending_of(iterator) is None


@pytest.mark.parametrize("dataset", [None, Stream()], ids=["map", "stream"])
@pytest.mark.parametrize("batch_size", [2, None])
def test_a_loader_begins_with_new_workers(dataset: Any, batch_size: int | None) -> None:
    workers = Workers(loader_of(dataset, batch_size=batch_size))
    first = seen(workers)
    workers.close()
    assert seen(workers) == first
    workers.close()


@pytest.mark.usefixtures("taken_away")
@pytest.mark.parametrize("dataset", [None, Stream()], ids=["map", "stream"])
@pytest.mark.parametrize("batch_size", [2, None])
def test_without_the_names_it_does_so_too(dataset: Any, batch_size: int | None) -> None:
    workers = Workers(loader_of(dataset, batch_size=batch_size))
    loader, first = workers.loader, seen(workers)
    workers.close()
    assert workers.loader is not loader
    assert seen(workers) == first
    workers.close()


# torch raises a death wherever the main thread is just then. Where nobody can catch it, as in the
# callback of hypothesis for the garbage collector, Python says so, and the next look finds it.
DEATHS_MAY_BE_RAISED_ANYWHERE = pytest.mark.filterwarnings(
    "ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning"
)


@DEATHS_MAY_BE_RAISED_ANYWHERE
def test_who_dies_is_told_with_the_names() -> None:
    with pytest.raises(WorkerLost, match="SIGKILL"):
        seen(Workers(loader_of(Ending(NUMBERS))))


@DEATHS_MAY_BE_RAISED_ANYWHERE
@pytest.mark.usefixtures("taken_away")
def test_who_dies_is_noticed_without_the_names() -> None:
    with pytest.raises((RuntimeError, OSError, WorkerLost)):
        seen(Workers(loader_of(Ending(NUMBERS))))


@pytest.mark.usefixtures("taken_away")
def test_who_dies_while_a_batch_comes_is_noticed_without_the_names() -> None:
    workers = Workers(loader_of())

    def broken_off() -> None:
        raise EOFError

    with pytest.raises(WorkerLost, match="ended while it sent a batch"):
        workers._waited_for(broken_off)


def test_the_handler_and_the_check_of_deaths_are_there() -> None:
    seen(Workers(loader_of(persistent_workers=False)))
    assert data_loader.death_check() is signal_handling._error_if_any_worker_fails  # type: ignore[attr-defined]
    before = signal.getsignal(signal.SIGCHLD)
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal_handling._SIGCHLD_handler_set = False
        signal_handling._set_SIGCHLD_handler()
        assert data_loader.handles_deaths(signal.getsignal(signal.SIGCHLD))
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert not data_loader.handles_deaths(signal.SIG_DFL)


@pytest.mark.usefixtures("taken_away")
def test_without_the_names_no_handler_is_known() -> None:
    assert not data_loader.handles_deaths(signal.getsignal(signal.SIGCHLD))
    data_loader.death_check()()


Pair = namedtuple("Pair", "a b")


class Pinned:
    """Says that it was pinned."""

    def pin_memory(self) -> str:
        return "pinned"


BATCH = {"x": [Pinned(), 1, "text"], "y": Pair(Pinned(), (Pinned(), None))}
PINNED = {"x": ["pinned", 1, "text"], "y": Pair("pinned", ("pinned", None))}


def test_all_of_a_batch_is_pinned() -> None:
    assert data_loader.pinning()(BATCH) == PINNED


@pytest.mark.usefixtures("taken_away")
def test_all_of_a_batch_is_pinned_without_the_name() -> None:
    assert data_loader.pinning()(BATCH) == PINNED
