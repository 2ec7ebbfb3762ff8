"""Loader workers: how they are seeded, waited for, and ended."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import random
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from torchassistant.compat.data_loader import (
    death_check,
    ending_of,
    handles_deaths,
    without_iterator,
    workers_of,
)
from torchassistant.data.batch_sampler import Batch
from torchassistant.data.child_processes import (
    collecting_no_garbage,
    disregard_stop_signals,
    end_with_parent,
    is_first_thread,
    keep_inherited_garbage,
    signals_held_back,
)
from torchassistant.data.columnar import ColumnsAt
from torchassistant.data.dataset_files import is_watching, watch
from torchassistant.data.object_rngs import generators_in, seed_all
from torchassistant.data.rng import derived
from torchassistant.errors import WorkerLost
from torchassistant.lateimports import starting_processes

PATIENCE = 300.0
"""Seconds that a batch of a worker is waited for, unless the config has a ``timeout``."""

AUTO = "auto"
_MOST_WORKERS = 8
_GRACE = 1.0


def chosen_workers(are_alike: bool) -> int:
    """How many workers load what is not cut from columns, where the config leaves it open.

    At least one on every machine: what workers draw at random is not what the main process draws,
    and a config must mean the same everywhere. One core is left to the main process. More than
    eight seldom load faster, and each takes memory, and time to start.

    Args:
        are_alike: Whether several workers give the batches of one. Several copies of a stream would
            give each example several times.
    """
    if not are_alike:
        return 1
    can_tell = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1
    return min(max(1, cores - 1), _MOST_WORKERS)


class SeededDataset(Dataset[Any]):
    """A dataset as a worker sees it: before each batch everything random is seeded.

    The seed follows from the run's seed, the epoch and the number of the batch, so that a batch is
    the same whichever worker prepares it, and whatever it prepared before.

    Args:
        dataset: Gives examples by index.
        rng_holders: What runs in the worker too; generators that it keeps are seeded as well.
        seed: What the seeds follow from.
        columns: Cuts whole batches from the dataset; None where examples are asked for.
    """

    def __init__(
        self, dataset: Any, rng_holders: Any, seed: int, columns: ColumnsAt | None = None
    ) -> None:
        self.dataset = dataset
        self.rng_holders = rng_holders
        self.seed = seed
        self.columns = columns
        self._own: list[Any] = []
        self._has_all_generators = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, batch: Batch) -> Any:
        cut = self.columns
        if cut is not None:
            return self._given(batch, lambda: cut(torch.tensor(batch)))
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self._given(batch, lambda: self.dataset.__getitems__(batch))
        return self._given(batch, lambda: [self.dataset[index] for index in batch])

    def __getitem__(self, batch: Batch) -> Any:
        """One whole batch that the dataset gives by itself; ``batch`` holds its index."""
        return self._given(batch, lambda: self.dataset[batch[0]])

    def _given(self, batch: Batch, give: Callable[[], Any]) -> Any:
        seed = derived(self.seed, "batch", *batch.place)
        self._start(seed)
        given = give()
        if not self._has_all_generators:
            # Some make their generators when the first example is asked for. What those drew came
            # from no seed of ours.
            before = len(self._own)
            self._find_generators()
            self._has_all_generators = True
            if len(self._own) > before:
                self._start(seed)
                given = give()
        return given

    def _find_generators(self) -> None:
        roots = {"dataset": self.dataset, "rng_holders": self.rng_holders}
        self._own = list(generators_in(roots).values())

    def _start(self, seed: int) -> None:
        if not self._has_all_generators:
            self._find_generators()
        _seed_worker(seed)
        seed_all(self._own, seed)


def _seed_worker(seed: int) -> None:
    """Seed the generators that code in this worker draws from; a worker has no GPU."""
    own = getattr(get_worker_info(), "rng", None)
    if own is not None:  # a thread, with generators of its own
        own.torch_generator.manual_seed(seed)
        own.random_generator.seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


class WorkerStart:
    """What a worker does first.

    Signals are left to the main process, which stops the workers after the iteration. What the user
    gave as ``worker_init_fn`` finds the user's own dataset in ``get_worker_info()``.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then
        self.by_first_thread = True
        self.is_watched = False

    def __call__(self, worker: int) -> None:
        if self.is_watched:
            watch()
        if threading.current_thread() is threading.main_thread():
            keep_inherited_garbage()
            end_with_parent(self.by_first_thread)
            disregard_stop_signals()
        info: Any = get_worker_info()
        if isinstance(info.dataset, SeededDataset):
            object.__setattr__(info, "dataset", info.dataset.dataset)
        if self.then is not None:
            self.then(worker)


class _Waiting:
    """Whether the main thread waits for a worker right now, and who may end that."""

    now = False
    check: Callable[[], None] | None = None


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """To wait for a worker may be given up in here.

    Args:
        check: Raises where that is asked for; asked before each wait. While the wait lasts, a
            signal handler may raise: see :func:`can_be_interrupted`.
    """
    _Waiting.check = check
    try:
        yield
    finally:
        _Waiting.check = None


@contextmanager
def abandonable() -> Iterator[None]:
    """What is done in here may be given up at any moment, as nothing has to be finished."""
    before = _Waiting.now, _Waiting.check
    _Waiting.now, _Waiting.check = True, _Waiting.check or _nothing
    try:
        yield
    finally:
        _Waiting.now, _Waiting.check = before


def _nothing() -> None:
    """Nobody wants to know."""


def can_be_interrupted() -> bool:
    """Whether a signal handler may raise: where a worker is waited for, or nothing is at stake."""
    return _Waiting.now and _Waiting.check is not None


class Workers:
    """The workers of torch's loader: of one pass, or with ``persistent_workers`` of all to come.

    Args:
        loader: Its sampler says at each pass what the workers have to load.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        self._iterator: Any = None
        self._raise_if_one_died = death_check()

    def batches(self) -> Iterator[Any]:
        """One pass. Whatever happens, no worker is left, unless it lives on for the next pass.

        Raises:
            WorkerLost: A worker died, or gave nothing for too long.
        """
        try:
            if self._iterator is None:
                self._start()
            else:
                self._waited_for(
                    partial(iter, self.loader)
                )  # the same iterator, from its beginning
            following = partial(next, self._iterator, _END)
            while (batch := self._waited_for(following)) is not _END:
                yield batch
        except GeneratorExit:  # a pass may be left before its end
            raise
        except BaseException:
            self.close()
            raise
        finally:
            if not self.loader.persistent_workers:
                self.close()

    def close(self) -> None:
        """End the workers that there are."""
        iterator, self._iterator = self._iterator, None
        self.loader = without_iterator(self.loader)
        if iterator is not None:
            _end(iterator)

    def _start(self) -> None:
        start = self.loader.worker_init_fn
        if isinstance(start, WorkerStart):
            start.by_first_thread = is_first_thread()
            start.is_watched = is_watching()
        context: Any = self.loader.multiprocessing_context or multiprocessing
        method = context.get_start_method()
        # In this order: what holds signals back starts a process too, the resource tracker.
        with (
            starting_processes(method == "fork"),
            signals_held_back(method),
            collecting_no_garbage(),
        ):
            self._iterator = iter(self.loader)
        _started.update(workers_of(self._iterator))
        _handle_deaths_while_waiting_only()

    def _waited_for(self, step: Callable[[], Any]) -> Any:
        _Waiting.now = True
        try:
            if _Waiting.check is not None:
                _Waiting.check()
            self._raise_if_one_died()
            return step()
        except (RuntimeError, OSError, EOFError) as error:
            _Waiting.now = False
            raise _explained(error, self._iterator) from None
        finally:
            _Waiting.now = False


_END = object()

_started: weakref.WeakSet[Any] = weakref.WeakSet()
"""All workers, of whatever loader."""


@atexit.register  # after multiprocessing has, and so this is called before: that waits for them
def _end_what_is_left() -> None:
    """A worker does nothing at the signal by which others would end it."""
    with contextlib.suppress(AssertionError):  # they are the workers of the parent process
        _kill([worker for worker in _started if hasattr(worker, "pid")])


def _handle_deaths_while_waiting_only() -> None:
    """Keep the death of a worker from being raised in the middle of an iteration.

    torch raises it wherever the main thread is just then. A step that is cut in two could not be
    saved, so it is raised when the next batch is waited for.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    torchs: Any = signal.getsignal(signal.SIGCHLD)
    if not handles_deaths(torchs):
        return

    def on_death(signum: int, frame: Any) -> None:
        if _Waiting.now:
            torchs(signum, frame)

    signal.signal(signal.SIGCHLD, on_death)


def _explained(error: Exception, iterator: Any) -> Exception:
    """The error in the words of a user; what the dataset itself raised stays as it is."""
    text = str(error)
    if "Original Traceback" in text:
        return error
    if text.startswith("DataLoader timed out"):
        when = text.removeprefix("DataLoader timed out ")
        return WorkerLost(
            f'no batch came {when}; if batches take longer, raise the "timeout" (in seconds) in '
            "the kwargs of the loader factory"
        )
    ends = [end for worker in workers_of(iterator) if (end := _end_of(worker))]
    if ends:
        return WorkerLost(f"a loader worker {' and another '.join(ends)}")
    if isinstance(error, EOFError):  # of a pipe; whose it was cannot be known
        return WorkerLost("a loader worker ended while it sent a batch")
    return error


def _end_of(worker: Any) -> str | None:
    """How a worker ended, if it did, and not by itself."""
    worker.join(0.2)  # it may have closed its end of a pipe, and not be gone yet
    status = getattr(worker, "exitcode", None)
    if not status:
        return None
    if status > 0:
        return f"ended with the exit status {status}"
    name = signal.Signals(-status).name
    hint = ": the system may have run out of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def _end(iterator: Any) -> None:
    """End the workers: asked first, and killed where one does not answer."""
    end = ending_of(iterator)
    if end is None:
        return
    workers = [w for w in workers_of(iterator) if isinstance(getattr(w, "pid", None), int)]
    killer = threading.Timer(_GRACE, _kill, [workers])
    killer.daemon = True
    killer.start()
    try:
        end()
    finally:
        killer.cancel()


def _kill(workers: list[Any]) -> None:
    for worker in workers:
        if worker.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
