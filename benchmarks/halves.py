"""A loader for DDP as it is written by hand: of each batch the half of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler


class Half(Sampler[list[int]]):
    """Of each batch of another sampler the contiguous half of this process.

    Args:
        batches: Gives whole batches.
    """

    def __init__(self, batches: BatchSampler) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        rank, size = dist.get_rank(), dist.get_world_size()
        for batch in self.batches:
            each = len(batch) // size
            yield batch[rank * each : (rank + 1) * each]


def halves(
    dataset: Any, batch_size: int, seed_of: Callable[[int], int]
) -> Callable[[int], DataLoader[Any]]:
    """Torch's loader of halves of shuffled batches; ``seed_of`` an epoch its order follows from."""
    generator = torch.Generator()
    sampler = RandomSampler(dataset, generator=generator)
    loader = DataLoader(dataset, batch_sampler=Half(BatchSampler(sampler, batch_size, False)))

    def batches(epoch: int) -> DataLoader[Any]:
        generator.manual_seed(seed_of(epoch))
        return loader

    return batches
