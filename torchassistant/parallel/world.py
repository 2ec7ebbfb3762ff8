"""How a step is shared: cut into parts, which processes hold, and summed in one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchassistant.errors import ConfigError
from torchassistant.parallel.processes import Processes
from torchassistant.parallel.tree import Summands, Tree, block_of

_SMALL = 1 << 16
"""Bytes of gradients that go in one message with all else: then its way takes the time."""

_UNIT = 8
"""Bytes to whose multiples all that is sent is filled up, so that it can be read where it is."""


class Shared(NamedTuple):
    """What all processes know after an exchange.

    Args:
        table: A row for each part, in order: float64 (P, T).
        present: For each parameter whether any part has a gradient of it: bool (N,).
        totals: The sums over all parts.
    """

    table: Tensor
    present: Tensor
    totals: Summands


class World:
    """The processes that train together, and the parts into which each batch is cut.

    Args:
        processes: They.
        parts: Into how many contiguous parts a batch is cut; None: one for each process.

    Attributes:
        own: The numbers of the parts that this process holds.
        asks: Gives what this process asks of all: numbers from 0.
        hears: Is told what all together ask: of each number the largest.

    Raises:
        ConfigError: The processes cannot hold equally many parts.
    """

    def __init__(self, processes: Processes, parts: int | None = None) -> None:
        self.processes = processes
        self.parts = processes.size if parts is None else parts
        each, rest = divmod(self.parts, processes.size)
        if rest or not each:
            raise ConfigError(
                f'"logical_ranks" is {self.parts}, which {processes.size} processes cannot share '
                "equally: it must be a multiple of their number"
            )
        self.own = range(processes.rank * each, (processes.rank + 1) * each)
        self.block = block_of(each)
        self.asks: Callable[[], Sequence[int]] = list
        self.hears: Callable[[Sequence[int]], None] = _nobody

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.processes.is_first

    def holder_of(self, part: int) -> int:
        """The rank of the process that holds a part."""
        return part // len(self.own)

    def agree(self) -> None:
        """Let all know what each asks of all."""
        asked = torch.tensor([*self.asks()], dtype=torch.int64)
        self.hears(self.processes.gather(asked).amax(0).tolist() if len(asked) else [])

    def exchange(self, rows: Tensor, present: Tensor, blocks: Sequence[Summands]) -> Shared:
        """Share what the parts of a step have given, and what each process asks of all.

        Args:
            rows: A row of numbers for each own part: float64 (c, T).
            present: For each parameter whether an own part has a gradient of it: bool (N,).
            blocks: For each block of own parts its sums, flat tensors of any size.
        """
        asked = torch.tensor([*self.asks()], dtype=torch.float64)
        stacked = [torch.stack(block) for block in zip(*blocks, strict=True)]
        pieces = [asked, rows, present.to(torch.uint8)]
        is_small = sum(one.nbytes for one in stacked) <= _SMALL
        heard = self._gathered([*pieces, *stacked] if is_small else pieces)
        asked, table, found, *sums = heard
        self.hears([int(one) for one in asked.amax(0)] if len(asked[0]) else [])
        totals = [_sum(one.flatten(0, 1)) for one in sums] if is_small else self._sums(stacked)
        return Shared(table.flatten(0, 1), found.any(0), totals)

    def _gathered(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """Tensors of every process, each with an axis for these in front."""
        message = torch.cat([_bytes_of(one) for one in pieces])
        gathered = self.processes.gather(message)
        found, at = [], 0
        for one in pieces:
            # In memory of its own, which lies alike for any number of processes.
            whole = gathered[:, at : at + one.nbytes].clone()
            found.append(whole.view(one.dtype).view(len(gathered), *one.shape))
            at += -(-one.nbytes // _UNIT) * _UNIT
        return found

    def _sums(self, stacked: Sequence[Tensor]) -> Summands:
        """The sums over the blocks of all processes; each process makes a piece of them."""
        size = self.processes.size
        if size == 1:
            return [_sum(one) for one in stacked]
        if size == 2 and all(len(one) == 1 for one in stacked):
            for one in stacked:
                self.processes.add(one)
            return [one[0] for one in stacked]
        totals = []
        for one in stacked:
            count = one.shape[1]
            share = -(-count // size)
            padded = torch.nn.functional.pad(one, (0, share * size - count))
            pieces = padded.view(len(one), size, share).transpose(0, 1).contiguous()
            mine = _sum(self.processes.exchange(pieces).flatten(0, 1))
            totals.append(self.processes.gather(mine).flatten()[:count])
        return totals


def _sum(rows: Tensor) -> Tensor:
    """The sum of the rows of a tensor (R, N), in the one order."""
    tree = Tree()
    for row in rows.unbind():
        tree.add([row])
    return tree.total()[0]


def _bytes_of(tensor: Tensor) -> Tensor:
    """A tensor as bytes, filled up."""
    row = tensor.detach().contiguous().flatten().view(torch.uint8)
    return torch.nn.functional.pad(row, (0, -len(row) % _UNIT))


def _nobody(asked: Sequence[int]) -> None:
    """Nobody wants to know."""
