"""Loader factories: from a dataset to the loaders of training and of evaluation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler, default_convert

from torchassistant.collators import DefaultCollator
from torchassistant.compat.data_loader import pinning
from torchassistant.data.augment import Augment, Augmented
from torchassistant.data.batch_errors import Origin, StreamCollator
from torchassistant.data.batch_sampler import CustomBatchSampler, ResumableBatchSampler
from torchassistant.data.cached_dataset import caches_in
from torchassistant.data.columnar import ColumnsAt, columns_of
from torchassistant.data.lengths import ClaimedLength, batches_of
from torchassistant.data.object_rngs import generators_in, set_states_of, states_of
from torchassistant.data.object_walk import Generator
from torchassistant.data.rng import derived, seeded
from torchassistant.data.sampler_state import SamplerState
from torchassistant.data.workers import (
    AUTO,
    PATIENCE,
    SeededDataset,
    Workers,
    WorkerStart,
    chosen_workers,
)
from torchassistant.errors import DataError

# In evaluation the dataset is read once, in its own order, whatever draws from it in training.
_TRAINING_ONLY = ("shuffle", "sampler", "batch_sampler")
_WORKERS_ONLY = (
    "num_workers",
    "prefetch_factor",
    "timeout",
    "multiprocessing_context",
    "worker_init_fn",
    "persistent_workers",
)
# Batches that come as they are ready come in another order every time. A worker that outlives its
# epoch goes on with what a stream has become in it, which a resumed run does not have.
_NOT_HONOURED = ("in_order",)
_NOT_FOR_STREAMS = ("in_order", "persistent_workers")


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
        origin: Where the examples come from, to tell which one is to blame where a batch fails.
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
    """

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
        """The number of batches in a pass, so far as the data tells the truth.

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
        return self.loader.num_workers > 0 and type(self.batch_sampler) is ResumableBatchSampler

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

    def batches(self) -> Iterator[Any]:
        """The batches of the epoch that was chosen."""
        return (batch for batch, _ in self.counted())

    def counted(self) -> Iterator[tuple[Any, int | None]]:
        """The same batches, each with the number of examples in it."""
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
        return (
            left if self.claimed_length is None else self.claimed_length.watched(left, self.skipped)
        )

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
        if collate is not _identity:
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
    """How a collator tells how many examples are in a batch; None where it does not."""
    # A class that is a collator has methods for its own objects, as list has.
    found = None if inspect.isclass(collator) else getattr(collator, "count", None)
    return found if callable(found) else None


class _CountingCollator:
    """A collator for a stream, of which nobody else knows how many examples are in a batch.

    Args:
        collator: Examples → batch.
        whole: Whether what it gets is a whole batch of the dataset already.
    """

    def __init__(self, collator: Callable[[Any], Any], whole: bool) -> None:
        self.collator = collator
        self.whole = whole

    def __call__(self, examples: Any) -> CountedBatch:
        return CountedBatch(self.collator(examples), None if self.whole else len(examples))


def _can_pin(loader: DataLoader[Any]) -> bool:
    return loader.pin_memory and torch.accelerator.is_available()


def _identity(columns: Any) -> Any:
    """What stands in the place of a collator where batches are cut from columns."""
    return columns


class LoaderFactory:
    """How batches are drawn from a dataset.

    Args:
        dataset: Gives examples.
        collator: List of examples → columns of a batch. One that makes several examples of one
            says how many are in a batch by a method ``count(batch)``.
        kwargs: Arguments of ``torch.utils.data.DataLoader``.
        name: The name of the definition.
        dataset_name: What the config calls the dataset.
        augments: What is done to the data at random, in training.
        fills_caches: Whether its loaders fill caches of the dataset.
        named: The datasets of the config by name, for messages.
    """

    def __init__(
        self,
        dataset: Any,
        collator: Any,
        kwargs: Mapping[str, Any],
        name: str = "",
        dataset_name: str = "",
        augments: Sequence[Augment] = (),
        fills_caches: bool = True,
        named: Mapping[str, Any] | None = None,
    ) -> None:
        self.dataset = dataset
        self.collator = collator
        self.kwargs = dict(kwargs)
        self.name = name
        self.dataset_name = dataset_name
        self.fills_caches = fills_caches
        self.named = {} if named is None else named
        drawn_by = self.kwargs.get("batch_sampler")
        if drawn_by is None:
            drawn_by = self.kwargs.get("sampler")
        is_stream = isinstance(dataset, IterableDataset)
        self.augments = augments
        self.sampler_state = (
            SamplerState(dataset, collator, *augments) if is_stream else SamplerState(drawn_by)
        )
        self.columns = columns_of(dataset) if type(collator) is DefaultCollator else None

    def check(self) -> None:
        """Build a loader of each kind; torch raises where the arguments do not fit.

        Raises:
            ValueError: The same of what is not torch's to know: ``"num_workers": "auto"``, and
                transforms of examples where the dataset gives whole batches.
        """
        on_examples = any(augment.on == "examples" for augment in self.augments)
        if on_examples and self.kwargs.get("batch_size", 1) is None:
            raise ValueError(
                'with "batch_size": null the dataset gives whole batches, so that its "augment" '
                'must be on "batches"'
            )
        workers = self.kwargs.get("num_workers", 0)
        if not isinstance(workers, int) and workers != AUTO:
            raise ValueError(f'"num_workers" must be a whole number or "{AUTO}", found {workers!r}')
        DataLoader(self.dataset, **self._with_workers(self.kwargs, columns=None))
        self.for_training(0)
        self.for_evaluation(0)

    def in_process(self) -> LoaderFactory:
        """The same without workers, for who wants a batch or two."""
        kwargs = {key: value for key, value in self.kwargs.items() if key not in _WORKERS_ONLY}
        return LoaderFactory(
            self.dataset,
            self.collator,
            kwargs,
            self.name,
            self.dataset_name,
            self.augments,
            fills_caches=False,
            named=self.named,
        )

    def for_training(self, seed: int, pins: bool = False) -> EpochLoader:
        """A loader that shuffles, unless the config says otherwise.

        Args:
            seed: What everything random in it follows from.
            pins: Whether what comes from workers is pinned, where the config does not say.
        """
        kwargs = self._with_pinning(self.kwargs, pins)
        return self._build(kwargs, seed, self.augments, shuffle=True)

    def for_evaluation(self, seed: int, pins: bool = False) -> EpochLoader:
        """A loader that reads the dataset in its own order."""
        kwargs = {key: value for key, value in self.kwargs.items() if key not in _TRAINING_ONLY}
        return self._build(self._with_pinning(kwargs, pins), seed, (), shuffle=False)

    @staticmethod
    def _with_pinning(kwargs: Mapping[str, Any], pins: bool) -> dict[str, Any]:
        return {"pin_memory": True, **kwargs} if pins and kwargs.get("num_workers") else {**kwargs}

    def _build(
        self, kwargs: dict[str, Any], seed: int, augments: Sequence[Augment], shuffle: bool
    ) -> EpochLoader:
        init = kwargs.pop("worker_init_fn", None)
        is_stream = isinstance(self.dataset, IterableDataset)
        for key in _NOT_FOR_STREAMS if is_stream else _NOT_HONOURED:
            kwargs.pop(key, None)
        # Without a batch size the dataset gives whole batches: the default has nothing to collate.
        whole = kwargs.get("batch_size", 1) is None and isinstance(self.collator, DefaultCollator)
        collate = default_convert if whole else self.collator
        dataset, batch_sampler, columns = self.dataset, None, None
        if not is_stream:
            batch_sampler = self._batch_sampler(kwargs, seed, shuffle)
            # A sampler of the user may draw what is no index, and the dataset take it.
            by_example = whole or any(augment.on == "examples" for augment in augments)
            if (
                type(batch_sampler) is ResumableBatchSampler
                and not by_example
                and self.columns is not None
            ):
                collate, columns = _identity, self.columns
        kwargs = self._with_workers(kwargs, columns if not augments else None)
        if kwargs.get("num_workers"):
            kwargs.setdefault("timeout", PATIENCE)
            if batch_sampler is not None:
                rng_holders = (self.collator, augments)
                dataset = SeededDataset(self.dataset, rng_holders, seed, columns)
        origin = Origin(self.dataset, self.dataset_name, self.named, "batch_sampler" in kwargs)
        if augments:
            collate = Augmented(collate, augments)
        if is_stream:
            is_whole = kwargs.get("batch_size", 1) is None
            collate = _CountingCollator(collate, is_whole)
            collate = collate if is_whole else StreamCollator(collate, origin)
        loader: DataLoader[Any] = DataLoader(
            dataset,
            collate_fn=collate,
            generator=torch.Generator(),
            worker_init_fn=WorkerStart(init) if kwargs.get("num_workers") else None,
            **kwargs,
        )
        length = self._claimed_length(loader, batch_sampler)
        sampling = Sampling(batch_sampler, self.sampler_state, origin, columns, length)
        return EpochLoader(loader, seed, sampling, self.collator, self.fills_caches)

    def _claimed_length(
        self, loader: DataLoader[Any], batch_sampler: ResumableBatchSampler | None
    ) -> ClaimedLength | None:
        """The length that a stream or a sampler claims."""
        if batch_sampler is None:
            what = f'the dataset "{self.dataset_name}"'
            batches = batches_of(loader.batch_size, loader.drop_last, loader.num_workers)
            return ClaimedLength(self.dataset, what, "examples", self.name, batches)
        if not isinstance(batch_sampler, CustomBatchSampler):
            return None
        what, unit = (
            ("sampler", "indices")
            if not batch_sampler.gives_batches
            else ("batch sampler", "batches")
        )
        return ClaimedLength(
            batch_sampler.sampler,
            f"the {what}",
            unit,
            self.name,
            lambda _: (len(batch_sampler),) * 2,
        )

    def _with_workers(self, kwargs: Mapping[str, Any], columns: ColumnsAt | None) -> dict[str, Any]:
        """Arguments with the number of workers, where that is left to us.

        Args:
            kwargs: The arguments.
            columns: What batches are cut from, where nothing random is done to them: that is done
                before a worker could be asked for it, and gives the same without one.
        """
        if kwargs.get("num_workers") != AUTO:
            return dict(kwargs)
        if columns is not None:
            return {key: value for key, value in kwargs.items() if key not in _WORKERS_ONLY}
        are_alike = not isinstance(self.dataset, IterableDataset)
        return {**kwargs, "num_workers": chosen_workers(are_alike)}

    def _batch_sampler(
        self, kwargs: dict[str, Any], seed: int, shuffle: bool
    ) -> ResumableBatchSampler:
        """The batch sampler; it takes the place of what the arguments say of the order."""
        shuffle = kwargs.pop("shuffle", shuffle)
        sampler, batches = kwargs.pop("sampler", None), kwargs.pop("batch_sampler", None)
        size, drop_last = kwargs.pop("batch_size", 1), kwargs.pop("drop_last", False)
        batch_sampler: ResumableBatchSampler
        if batches is not None:
            batch_sampler = CustomBatchSampler(self.sampler_state, None, False, seed)
        elif sampler is not None:
            batch_sampler = CustomBatchSampler(self.sampler_state, size or 1, drop_last, seed)
        else:
            batch_sampler = ResumableBatchSampler(
                len(self.dataset), size or 1, drop_last, seed if shuffle else None
            )
        if size is None and batches is None:
            in_worker = bool(kwargs.get("num_workers"))  # "auto" is at least one here
            kwargs |= {"batch_size": None, "sampler": _SingleIndexSampler(batch_sampler, in_worker)}
        else:
            kwargs["batch_sampler"] = batch_sampler
        return batch_sampler


class _SingleIndexSampler(Sampler[Any]):
    """Indices one by one, for a dataset that gives whole batches by itself."""

    def __init__(self, batch_sampler: ResumableBatchSampler, numbered: bool) -> None:
        self.batch_sampler = batch_sampler
        self.numbered = numbered

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batch_sampler:
            yield batch if self.numbered else batch[0]
