"""Which examples stand in which batch of an epoch: arithmetic, so that any batch can be the first.

A permutation follows from the seed and the epoch alone; to begin in the middle of an epoch is to
begin in the middle of a list of numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import Any

import torch
from torch.utils.data import Sampler

from torchassistant.config import machine_memory
from torchassistant.data.rng import derived, random_state, seeded, set_random_state
from torchassistant.data.sampler_state import SamplerState
from torchassistant.errors import DataError

_REMEMBERED = 1024
_AT_ONCE = 32


class Batch(list[Any]):
    """The indices of the examples of one batch.

    Args:
        indices: The indices.
        epoch: The epoch that it belongs to.
        number: Its place in the epoch, from 0.
        part: Which part of the batch it is, where that is cut into parts.
    """

    def __init__(
        self, indices: Iterable[Any], epoch: int, number: int, part: int | None = None
    ) -> None:
        super().__init__(indices)
        self.epoch = epoch
        self.number = number
        self.part = part

    @property
    def place(self) -> tuple[int, ...]:
        """What random numbers that are drawn for it follow from."""
        here = (self.epoch, self.number)
        return here if self.part is None else (*here, self.part)

    def __reduce__(self) -> Any:
        return Batch, (list(self), self.epoch, self.number, self.part)


class ResumableBatchSampler(Sampler[Batch]):
    """The batches of an epoch, from any of them on; torch's loader takes it as a batch sampler.

    Args:
        count: The number of examples.
        batch_size: Examples a batch.
        drop_last: Whether a last batch that is not full is left out.
        seed: What the permutations follow from; None keeps the order of the dataset.
        dataset: Is asked for the number when a pass begins, as it may have changed.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        drop_last: bool,
        seed: int | None,
        dataset: Sized | None = None,
    ) -> None:
        self.count = count
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0
        self.skipped = 0

    def __len__(self) -> int:
        whole, rest = divmod(self.count, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def start(self, epoch: int, skipped: int) -> None:
        """The next pass is over this epoch, from its so manyth batch on."""
        self.epoch, self.skipped = epoch, skipped
        if self.dataset is not None:
            self.count = len(self.dataset)

    def __iter__(self) -> Iterator[Batch]:
        for number, indices in enumerate(self.tensors(), self.skipped):
            yield Batch(indices.tolist(), self.epoch, number)

    def tensors(self) -> Iterator[torch.Tensor]:
        """The indices of each batch as an int64 tensor (B,); a list of them takes longer."""
        left = self._indices()[self.skipped * self.batch_size : len(self) * self.batch_size]
        for some in left.split(_AT_ONCE * self.batch_size) if len(left) else ():
            yield from some.split(self.batch_size)

    def take_size(self, number: int) -> int:
        """The number of examples in a batch of this epoch; asked once for each, in their order."""
        return min(self.batch_size, self.count - number * self.batch_size)

    def examples_of(self, number: int) -> list[Any] | None:
        """The indices of a batch of this epoch; None where they are not known."""
        if number >= len(self):
            return None
        return self._indices()[number * self.batch_size :][: self.batch_size].tolist()

    def _indices(self) -> torch.Tensor:
        """Of all examples, int64 (N,), in the order of this epoch."""
        if self.seed is None:
            expect_room(self.count)
            return torch.arange(self.count)
        return permutation(self.count, derived(self.seed, "order", self.epoch))


class ContiguousBatchSampler(ResumableBatchSampler):
    """Batches each row of which goes on from batch to batch: the dataset, cut into as many parts.

    Row r of batch b is example r·⌊N/B⌋ + b, where N is the number of examples and B the batch size;
    the rest is left out.

    Args:
        count: The number of examples.
        batch_size: Examples a batch.
    """

    def __init__(self, count: int, batch_size: int) -> None:
        super().__init__(count - count % batch_size, batch_size, True, None)

    def _indices(self) -> torch.Tensor:
        expect_room(self.count)
        return torch.arange(self.count).view(self.batch_size, -1).T.flatten()


def permutation(count: int, seed: int) -> torch.Tensor:
    """So many indices in an order that follows from the seed: int64 (N,).

    Raises:
        DataError: They do not fit into memory.
    """
    expect_room(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def expect_room(count: int) -> None:
    """Expect the indices of so many examples to fit into memory.

    Raises:
        DataError: They do not.
    """
    if count * _BYTES_OF_INDEX > machine_memory():
        raise DataError(
            f"the dataset says that it has {count:,} examples, and their order alone would not fit "
            "into this machine's memory"
        )


_BYTES_OF_INDEX = 8


class CustomBatchSampler(ResumableBatchSampler):
    """The order of a sampler of the user.

    What it draws from the generators of Python, NumPy and torch follows from the seed and the
    epoch; a generator of its own goes on from epoch to epoch. To begin in the middle of an epoch,
    the sampler is asked again from the beginning, which loads no example.

    Args:
        sampler_state: Of the sampler, which gives indices, or lists of them.
        batch_size: Indices a batch; None where the sampler gives batches.
        drop_last: Whether a last batch that is not full is left out.
        seed: What its random numbers follow from.
    """

    def __init__(
        self, sampler_state: SamplerState, batch_size: int | None, drop_last: bool, seed: int
    ) -> None:
        super().__init__(0, batch_size or 1, drop_last, None)
        self.sampler_state = sampler_state
        self.sampler = sampler_state.owner
        self.gives_batches = batch_size is None
        self.own_seed = seed
        self.recent: deque[Batch] = deque(maxlen=_REMEMBERED)
        self.sizes: deque[int] = deque()

    def __len__(self) -> int:
        if self.gives_batches:
            return len(self.sampler)
        self.count = len(self.sampler)
        return super().__len__()

    def __iter__(self) -> Iterator[Batch]:
        self.sampler_state.start_epoch(self.epoch)
        self.sizes.clear()
        for number, indices in enumerate(self._drawn()):
            if number >= self.skipped:
                batch = Batch(indices, self.epoch, number)
                self.recent.append(batch)
                self.sizes.append(len(batch))
                yield batch

    def take_size(self, number: int) -> int:
        """The number of examples in a batch of this epoch; asked once for each, in their order.

        Workers are ahead of who asks, by as many batches as they like.
        """
        return self.sizes.popleft()

    def examples_of(self, number: int) -> list[Any] | None:
        """The indices of a batch of this epoch, unless it was given long ago."""
        return next((list(b) for b in reversed(self.recent) if b.number == number), None)

    def _drawn(self) -> Iterator[list[Any]]:
        """What the sampler gives, drawn from random numbers of its own.

        It is asked ahead of the training, and workers are further ahead: it must not draw from the
        generators that the training draws from meanwhile. As changing those takes time, it is asked
        for some batches at once.
        """
        lists, inside = self._lists(), None
        while True:
            with seeded(derived(self.own_seed, "order", self.epoch)):
                if inside is not None:
                    set_random_state(inside)
                some = list(islice(lists, _AT_ONCE))
                inside = random_state()
            if not some:
                return
            yield from some

    def _lists(self) -> Iterator[list[Any]]:
        if self.gives_batches:
            yield from map(list, self.sampler)
            return
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch
