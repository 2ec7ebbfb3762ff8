"""The processes that do one piece of work together, and what they tell each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from torchassistant.errors import EndedElsewhere, Interrupted
from torchassistant.parallel.heartbeat import START, Heartbeat
from torchassistant.parallel.launched import Launched
from torchassistant.parallel.messages import packed, unpacked

T = TypeVar("T")

_NO_LIMIT = timedelta(days=30)
"""For collectives: whether somebody is lost is found out by the heartbeat."""


class Processes:
    """Those that work together: here, one that is alone.

    Attributes:
        rank: The number of this process, from 0.
        size: How many they are.
        local_rank: The number of this one among those of its machine.
        device: Where tensors belong here that another has on a device of its own.
    """

    rank = 0
    size = 1
    local_rank = 0
    device = torch.device("cpu")

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def gather(self, row: Tensor) -> Tensor:
        """The row (N,) of each process, where the own one is: (size, N); rows are of one size."""
        return row[None]

    def swap(self, row: Tensor) -> Tensor:
        """Of two processes the row (N,) of the other one; on the host."""
        return row

    def exchange(self, rows: Tensor) -> Tensor:
        """Of rows (size, …) of which each is for another process, those for this one; likewise."""
        return rows

    def gather_values(self, value: Any) -> list[Any]:
        """What each process says, in the order of their ranks: plain data and tensors."""
        return [unpacked(packed(value), self.device)]

    def first(self, value: T) -> T:
        """What the first process says."""
        return value

    def wait(self) -> None:
        """Until all are here."""

    def explaining(self) -> AbstractContextManager[None]:
        """Says of what fails in here, as torch told the processes something, whose fault it is."""
        return nullcontext()

    def fail(self, message: str, status: int) -> None:
        """Tell the others that this process ends, and why."""

    def count_as_lost_after(self, seconds: float) -> None:
        """So long one may say nothing."""


class ConnectedProcesses(Processes):
    """Several, which torch's distributed engine connects; they exchange what is on the host.

    Args:
        launched: What this one is.
        heartbeat: Knows who is alive.
    """

    def __init__(self, launched: Launched, heartbeat: Heartbeat) -> None:
        self.rank = launched.rank
        self.size = launched.size
        self.local_rank = launched.local_rank
        self.heartbeat = heartbeat

    def gather(self, row: Tensor) -> Tensor:
        own = row.contiguous().cpu()
        found = torch.empty((self.size, *own.shape), dtype=own.dtype)
        self._together(lambda: dist.all_gather([*found], own))
        return found.to(row.device)

    def swap(self, row: Tensor) -> Tensor:
        # One message each way; an all-gather, or an all-reduce, of two is several. It is the
        # collective itself: what torch has around it takes as long as a small message.
        found = torch.empty_like(row)
        splits = [0, 0]
        splits[1 - self.rank] = len(row)
        self._together(
            lambda: dist.group.WORLD.alltoall_base(found, row, splits, splits).wait()  # type: ignore[union-attr]
        )
        return found

    def exchange(self, rows: Tensor) -> Tensor:
        found = torch.empty_like(rows)
        self._together(lambda: dist.all_to_all_single(found, rows))
        return found

    def gather_values(self, value: Any) -> list[Any]:
        row = packed(value)
        sizes = self.gather(torch.tensor([len(row)])).flatten().tolist()
        whole = torch.zeros(max(sizes), dtype=torch.uint8)
        whole[: len(row)] = row
        found = self.gather(whole)
        return [unpacked(one[:size], self.device) for one, size in zip(found, sizes, strict=True)]

    def first(self, value: T) -> T:
        row = packed(value) if self.is_first else torch.empty(0, dtype=torch.uint8)
        size = torch.tensor([len(row)])
        self._together(lambda: dist.broadcast(size, 0))
        if not self.is_first:
            row = torch.empty(int(size), dtype=torch.uint8)
        self._together(lambda: dist.broadcast(row, 0))
        return value if self.is_first else unpacked(row, self.device)

    def wait(self) -> None:
        self._together(dist.barrier)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """See :class:`Processes`.

        Raises:
            EndedElsewhere: One of the others is lost, or has given up.
        """
        try:
            yield
        except Exception as error:
            cause = _of_connection(error)
            if cause is None:
                raise
            raise self.heartbeat.lost(cause) from None

    def fail(self, message: str, status: int) -> None:
        self.heartbeat.fail(message, status)

    def count_as_lost_after(self, seconds: float) -> None:
        self.heartbeat.count_as_lost_after(seconds)

    def _together(self, call: Callable[[], Any]) -> None:
        """Make a call that all of them make.

        Raises:
            EndedElsewhere: One of them is lost, or has given up.
        """
        try:
            call()
        except RuntimeError as error:
            raise self.heartbeat.lost(error) from None


def _of_connection(error: BaseException | None) -> RuntimeError | None:
    """What the connection between processes has raised, where it led to an error."""
    while error is not None:
        if isinstance(error, RuntimeError) and "gloo" in str(error):
            return error
        error = error.__context__ if error.__cause__ is None else error.__cause__
    return None


@contextmanager
def connected(launched: Launched | None, timeout: float) -> Iterator[Processes]:
    """The processes that a launcher has started, connected in here.

    Args:
        launched: What this one is; None where it is alone.
        timeout: Seconds without a word after which one of them counts as lost.

    Raises:
        EndedElsewhere: One of them is lost, or what has started them.
    """
    if launched is None or launched.size == 1:
        yield Processes()
        return
    try:
        store = _store(launched, timeout)
        heartbeat = Heartbeat(launched, timeout)
    except RuntimeError as error:
        raise launched.unanswered(str(error)) from None
    heartbeat.start()  # one may be lost while they find each other
    try:
        with _nothing_on_stdout():
            dist.init_process_group(
                "gloo",
                store=dist.PrefixStore(f"torchassistant/{launched.attempt}/group", store),  # type: ignore[attr-defined]
                rank=launched.rank,
                world_size=launched.size,
                timeout=_NO_LIMIT,
            )
    except RuntimeError as error:
        lost = heartbeat.lost(error)
        heartbeat.stop()
        raise lost from None
    try:
        yield ConnectedProcesses(launched, heartbeat)
    except BaseException as error:
        if not isinstance(error, (EndedElsewhere, Interrupted)):
            heartbeat.fail("", 1)
        raise
    finally:
        heartbeat.stop()
        dist.destroy_process_group()


@contextmanager
def _nothing_on_stdout() -> Iterator[None]:
    """Keep what a library prints off standard output, which carries results.

    gloo says there how many processes it has found, as torch 2.10 has it.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _store(launched: Launched, timeout: float) -> Any:
    """By which they find each other; that of a launcher is there already."""
    return dist.TCPStore(  # type: ignore[attr-defined]
        launched.address,
        launched.port,
        is_master=launched.rank == 0 and not launched.is_store_there,
        timeout=timedelta(seconds=timeout if launched.is_store_there else START),
        wait_for_workers=False,
    )


@contextmanager
def place_to_meet(count: int) -> Iterator[list[Launched | None]]:
    """Where processes that are started in here on this machine find each other.

    Args:
        count: How many.

    Yields:
        What each of them is; None for one that is alone.
    """
    if count == 1:
        yield [None]
        return
    here = "127.0.0.1"
    store = dist.TCPStore(here, 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    yield [
        Launched(rank, count, here, store.port, True, local_rank=rank, local_size=count)
        for rank in range(count)
    ]
