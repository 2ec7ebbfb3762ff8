"""A loader of one pass after the other: any epoch, from any of its batches on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from torchassistant.collators import DefaultCollator
from torchassistant.compat.data_loader import pinning
from torchassistant.data.batch_errors import Origin, StreamCollator
from torchassistant.data.batch_sampler import CustomBatchSampler, ResumableBatchSampler
from torchassistant.data.cached_dataset import caches_in
from torchassistant.data.columnar import ColumnsAt
from torchassistant.data.lengths import ClaimedLength
from torchassistant.data.object_rngs import generators_in, set_states_of, states_of
from torchassistant.data.object_walk import Generator
from torchassistant.data.rng import derived, seeded
from torchassistant.data.sampler_state import SamplerState
from torchassistant.data.workers import (
    Workers,
)
from torchassistant.errors import DataError


class CountedBatch(NamedTuple):
    """A batch, and the number of examples that it was made from; None where nobody knows."""

    batch: Any
    size: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """Which examples stand in which batch, and what is known of them beforehand.

    Args:
        batch_sampler: Gives the indices of each batch; None where the dataset decides.
        state: What the sampler keeps from epoch to epoch, or the dataset that decides.
        origin: Where the examples come from, to find which one is to blame where a batch fails.
        columns: Cuts whole batches from the dataset, where no example has to be looked at.
        claimed_length: What a stream or a sampler says of its length; None where that is known.
    """

    batch_sampler: ResumableBatchSampler | None
    state: SamplerState
    origin: Origin
    columns: ColumnsAt | None = None
    claimed_length: ClaimedLength | None = None


class EpochLoader:
    """Gives the batches of any epoch, from any of them on.

    Without workers, what draws random numbers for an example draws from the generators of the run,
    as in a loop written by hand; a worker is seeded for each batch.

    Args:
        loader: The loader; its generator belongs to this object.
        seed: What everything random in it follows from.
        sampling: Which examples stand in which batch.
        collator: Makes the batches. Where it has a method ``count(batch)``, that says how many
            examples are in one; where it has none, and is not ours, it may leave examples out.
        fills_caches: Whether caches of the dataset are filled before the first pass.

    Attributes:
        pieces: In so many pieces :meth:`batches` gives each batch.
        gives_parts: Whether these are the parts that this process trains on.
    """

    pieces = 1
    gives_parts = False

    def __init__(
        self,
        loader: DataLoader[Any],
        seed: int,
        sampling: Sampling,
        collator: Any,
        fills_caches: bool = True,
    ) -> None:
        self.loader = loader
        self.seed = seed
        self.batch_sampler = sampling.batch_sampler
        self.sampler_state = sampling.state
        self.origin = sampling.origin
        self.columns = sampling.columns
        self.claimed_length = sampling.claimed_length
        self.count_in = _count_method(collator)
        is_ours = type(collator).__module__ == DefaultCollator.__module__
        self.may_leave_out = self.count_in is None and not is_ours
        self.fills_caches = fills_caches
        self.workers = Workers(loader)
        self.epoch = self.skipped = 0
        self.began_with: Any = None
        self.interrupted_with: dict[str, Any] = {}

    def __len__(self) -> int:
        """The number of batches in a pass, as far as what the data says is true.

        Raises:
            TypeError: The data does not say.
        """
        if self.claimed_length is not None:
            return len(self.claimed_length)
        assert self.batch_sampler is not None, "a stream claims a length"
        return len(self.batch_sampler)

    @property
    def can_be_left(self) -> bool:
        """Whether waiting for a batch can be given up, and the same batch be had again later."""
        is_known = self.batch_sampler is not None and not isinstance(
            self.batch_sampler, CustomBatchSampler
        )
        return self.loader.num_workers > 0 and is_known

    def start(self, epoch: int, skipped: int = 0, began_with: Any = None) -> None:
        """Choose what :meth:`batches` gives.

        Args:
            epoch: Counted from 0.
            skipped: So many batches of it are done already. Their examples are not loaded again,
                unless the dataset can only be iterated over.
            began_with: What ``began_with`` of this object was in that epoch.
        """
        for cache in caches_in(self.loader.dataset) if self.fills_caches else ():
            cache.fill()
        self.epoch, self.skipped = epoch, skipped
        self.interrupted_with = states_of(self.sampler_state.own)
        if began_with is not None:
            try:
                self.sampler_state.set_state(began_with)
            except Exception as error:
                what = "what is stored of the sampler, from the middle of an epoch, does not fit"
                raise DataError(f"{what}: {error}") from error
            if self.batch_sampler is not None:
                # What the dataset draws from too has gone on since, and is not the sampler's.
                set_states_of(self._drawn_from(), self.interrupted_with)
        self.began_with = self.sampler_state.state()
        if isinstance(self.loader.collate_fn, StreamCollator):
            self.loader.collate_fn.seen = 0
        if self.batch_sampler is not None:
            self.batch_sampler.start(epoch, skipped)
        else:
            self.sampler_state.start_epoch(epoch)

    def _drawn_from(self) -> dict[str, Generator]:
        """The generators of the sampler that examples and batches are drawn from too."""
        roots = {"dataset": self.loader.dataset, "collate_fn": self.loader.collate_fn}
        others = {id(generator) for generator in generators_in(roots).values()}
        return {path: own for path, own in self.sampler_state.own.items() if id(own) in others}

    def batches(self) -> Iterator[tuple[Any, int | None]]:
        """The batches of the epoch that was chosen, each with the number of examples in it."""
        if self.count_in is not None:
            for batch in self._batches():
                batch = batch.batch if self.batch_sampler is None else batch
                yield batch, int(self.count_in(batch))
        elif self.batch_sampler is None:
            yield from self._batches()
        elif self.loader.batch_sampler is self.batch_sampler:
            for number, batch in enumerate(self._batches(), self.skipped):
                yield batch, self.batch_sampler.take_size(number)
        else:
            # The dataset gives whole batches by itself.
            for batch in self._batches():
                yield batch, None

    def _batches(self) -> Iterator[Any]:
        """Batches as the loader gives them; those of a stream have their number with them."""
        self.loader.generator.manual_seed(derived(self.seed, "workers", self.epoch))
        batches: Iterator[Any]
        if self.loader.num_workers:
            batches = self.workers.batches()
        elif self.batch_sampler is None:
            batches = self._seeded(iter(self.loader))
        elif self.loader.batch_sampler is self.batch_sampler:
            batches = self._in_process(self.batch_sampler)
        else:
            batches = iter(self.loader)
        left = batches if self.batch_sampler is not None else self._after_skipped(batches)
        return self._watched(left)

    def _watched(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches; where there are more or fewer than is claimed, there is a warning."""
        if self.claimed_length is None:
            return batches
        return self.claimed_length.watched(batches, self.skipped)

    def close(self) -> None:
        """End the workers that live on from pass to pass."""
        self.workers.close()

    def examples_of(self, number: int) -> list[Any] | None:
        """The indices of the examples of a batch of this epoch, where they are known."""
        return None if self.batch_sampler is None else self.batch_sampler.examples_of(number)

    def _in_process(self, batch_sampler: ResumableBatchSampler) -> Iterator[Any]:
        """What torch's loader gives without workers, and without what it puts around each batch."""
        # By map, which does not hold on to the examples while their batch is computed with.
        batches, collate = self._given(batch_sampler), self.loader.collate_fn
        if collate is not identity:
            batches = map(collate, batches)
        return map(pinning(), batches) if _can_pin(self.loader) else batches

    def _given(self, batch_sampler: ResumableBatchSampler) -> Iterator[Any]:
        """The examples of each batch, or its columns."""
        dataset = self.loader.dataset
        whole = getattr(dataset, "__getitems__", None)
        if self.columns is not None:
            return map(self.columns, batch_sampler.tensors())
        if callable(whole):
            return map(whole, batch_sampler)
        return ([dataset[index] for index in batch] for batch in batch_sampler)

    def _seeded(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Batches that can be had again from the beginning, whatever else draws random numbers."""
        for number in count():
            with seeded(derived(self.seed, "batch", self.epoch, number)):
                batch = next(batches, _END)
            if batch is _END:
                return
            yield batch

    def _after_skipped(self, batches: Iterator[Any]) -> Iterator[Any]:
        """What is not done yet; to pass over the rest leaves the generators as they were."""
        for number, batch in enumerate(batches):
            if number == self.skipped - 1:
                set_states_of(self.sampler_state.own, self.interrupted_with)
            if number >= self.skipped:
                yield batch


_END = object()


def _count_method(collator: Any) -> Callable[[Any], int] | None:
    """How a collator says how many examples are in a batch; None where it does not."""
    # A class that is a collator has methods for its own objects, as list has.
    found = None if inspect.isclass(collator) else getattr(collator, "count", None)
    return found if callable(found) else None


def _can_pin(loader: DataLoader[Any]) -> bool:
    return loader.pin_memory and torch.accelerator.is_available()


def identity(columns: Any) -> Any:
    """What stands in the place of a collator where batches are cut from columns."""
    return columns
