"""How a step is shared: cut into parts, which processes hold, and summed in one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchassistant.errors import ConfigError
from torchassistant.parallel.part_states import PartStates
from torchassistant.parallel.processes import Processes
from torchassistant.parallel.tree import Summands, Tree, block_of

_SMALL = 1 << 22
"""Bytes of sums that go in one message with all else: then its way takes the time."""

_UNIT = 64
"""Bytes to whose multiples all that is sent is filled up, so that it can be read where it is."""

_NUMBER = 8
"""Bytes of a number in a message."""

_PIECE = 1 << 20
"""So many elements of large sums are added up at once: the other's lie beside the own ones."""


class Shared(NamedTuple):
    """What all processes know after an exchange.

    Args:
        table: A row of numbers for each part, in order.
        present: For each thing that was asked about whether any process has it.
        totals: The sums over all parts.
    """

    table: list[list[float]]
    present: list[bool]
    totals: Summands


class World:
    """The processes that train together, and the parts into which each batch is cut.

    Args:
        processes: They.
        parts: Into how many contiguous parts a batch is cut; None: one for each process.
        shares_models: Whether each process holds a piece of each model, and not all of it: then all
            run every model at the same time.
        syncs_batch_norm: Whether batch norm is over the parts of all processes: likewise.

    Attributes:
        own: The numbers of the parts that this process holds.
        states: What objects keep for each part; None where nothing keeps anything.
        asks: Gives what this process asks of all: numbers from 0.
        hears: Is told what all together ask: of each number the largest.

    Raises:
        ConfigError: The processes cannot hold equally many parts.
    """

    def __init__(
        self,
        processes: Processes,
        parts: int | None = None,
        shares_models: bool = False,
        syncs_batch_norm: bool = False,
    ) -> None:
        self.processes = processes
        self.shares_models = shares_models and processes.size > 1
        self.syncs_batch_norm = syncs_batch_norm and processes.size > 1
        self.parts = processes.size if parts is None else parts
        each, rest = divmod(self.parts, processes.size)
        if rest or not each:
            raise ConfigError(
                f'"logical_ranks" is {self.parts}, which {processes.size} processes cannot share '
                "equally: it must be a multiple of their number"
            )
        self.own = range(processes.rank * each, (processes.rank + 1) * each)
        self.block = block_of(each)
        self.states: PartStates | None = None
        self.is_pair = processes.size == 2 and self.block == each
        self.asks: Callable[[], Sequence[int]] = list
        self.hears: Callable[[Sequence[int]], None] = _nobody

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.processes.is_first

    @property
    def runs_jointly(self) -> bool:
        """Whether all processes run each model at the same time."""
        return self.shares_models or self.syncs_batch_norm

    def holder_of(self, part: int) -> int:
        """The rank of the process that holds a part."""
        return part // len(self.own)

    def agree(self) -> None:
        """Let all know what each asks of all."""
        asked = torch.tensor([*self.asks()], dtype=torch.int64)
        self.hears(self.processes.gather(asked).amax(0).tolist() if len(asked) else [])

    def exchange(
        self,
        rows: Sequence[Sequence[float]],
        present: Sequence[bool],
        blocks: Sequence[Summands],
    ) -> Shared:
        """Share what the parts of a step have given, and what each process asks of all.

        Args:
            rows: Of each own part so many numbers.
            present: Whether this process has something, a gradient of each parameter as it may be.
            blocks: For each block of own parts its sums, flat tensors of any size; they are this
                one's afterwards.
        """
        asked = [float(one) for one in self.asks()]
        numbers = [*asked, *map(float, present), *(one for row in rows for one in row)]
        sums = [
            one[0][None] if len(one) == 1 else torch.stack(one) for one in zip(*blocks, strict=True)
        ]
        told, totals = self._shared(numbers, sums)
        if asked:
            self.hears(
                [int(max(one)) for one in zip(*(row[: len(asked)] for row in told), strict=True)]
            )
        at = len(asked) + len(present)
        found = [row[len(asked) : at] for row in told]
        width = len(rows[0])
        table = [
            row[begin : begin + width]
            for row in told
            for begin in range(at, at + width * len(rows), width)
        ]
        return Shared(table, [any(one) for one in zip(*found, strict=True)], totals)

    def _shared(
        self, numbers: list[float], sums: Sequence[Tensor]
    ) -> tuple[list[list[float]], Summands]:
        """The numbers of every process, and the sums over the blocks of all.

        Args:
            numbers: Of this process.
            sums: Each (b, N): a row for each of its blocks; on any device, where the sums stay.
        """
        if self.processes.size == 1:
            return [numbers], [_sum(one) for one in sums]
        told, totals = self._exchanged(numbers, [one.cpu() for one in sums])
        return told, [total.to(one.device) for total, one in zip(totals, sums, strict=True)]

    def _exchanged(
        self, numbers: list[float], sums: Sequence[Tensor]
    ) -> tuple[list[list[float]], Summands]:
        """The same of several processes, on the host."""
        processes = self.processes
        filled = numbers + [0.0] * (-len(numbers) % (_UNIT // _NUMBER))
        row = torch.tensor(filled, dtype=torch.float64).view(torch.uint8)
        if sum(one.nbytes for one in sums) > _SMALL:
            told = processes.gather(row).view(torch.float64).tolist()
            return told, self._large_sums(sums)
        message = torch.cat([*(_bytes_of(one) for one in sums), row])
        if self.is_pair:
            other, at = processes.swap(message), 0
            for one in sums:
                one[0] += other[at : at + one.nbytes].view(one.dtype)
                at += -(-one.nbytes // _UNIT) * _UNIT
            theirs = other[at:].view(torch.float64).tolist()
            told = [numbers, theirs] if processes.is_first else [theirs, numbers]
            return told, [one[0] for one in sums]
        gathered, totals, at = processes.gather(message), [], 0
        for one in sums:
            rows = gathered[:, at : at + one.nbytes].view(one.dtype).reshape(-1, one.shape[1])
            # In memory of its own, which lies alike for any number of processes.
            totals.append(_sum(rows).clone())
            at += -(-one.nbytes // _UNIT) * _UNIT
        return gathered[:, at:].view(torch.float64).tolist(), totals

    def _large_sums(self, sums: Sequence[Tensor]) -> Summands:
        """The sums over the blocks of all processes; each process makes a piece of them."""
        if self.is_pair:
            for one in sums:
                for piece in one[0].split(_PIECE):
                    piece += self.processes.swap(piece)
            return [one[0] for one in sums]
        for one in sums:
            for piece in one.split(_PIECE * self.processes.size, 1):
                self._sum_in_place(piece)
        return [one[0] for one in sums]

    def _sum_in_place(self, rows: Tensor) -> None:
        """Leave the sum over the rows (b, N) of all processes in the first row of each."""
        size, count = self.processes.size, rows.shape[1]
        share = -(-count // size)
        padded = torch.nn.functional.pad(rows, (0, share * size - count))
        shares = padded.view(len(rows), size, share).transpose(0, 1).contiguous()
        mine = _sum(self.processes.exchange(shares).flatten(0, 1))
        rows[0] = self.processes.gather(mine).flatten()[:count]


def _sum(rows: Tensor) -> Tensor:
    """The sum of the rows of a tensor (R, N), in the one order; the rows are used up."""
    tree = Tree()
    for row in rows.unbind():
        tree.add([row])
    return tree.total()[0]


def _bytes_of(tensor: Tensor) -> Tensor:
    """A tensor as bytes, filled up."""
    row = tensor.detach().contiguous().flatten().view(torch.uint8)
    rest = -len(row) % _UNIT
    return torch.nn.functional.pad(row, (0, rest)) if rest else row


def _nobody(asked: Sequence[int]) -> None:
    """Nobody wants to know."""
