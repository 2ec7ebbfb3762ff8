"""Loader factories: from a dataset to the loaders of training and of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler, default_convert

from torchassistant.collators import DefaultCollator
from torchassistant.data.augment import Augment, Augmented
from torchassistant.data.batch_errors import Origin, StreamCollator
from torchassistant.data.batch_sampler import (
    ContiguousBatchSampler,
    CustomBatchSampler,
    ResumableBatchSampler,
)
from torchassistant.data.columnar import ColumnsAt, columns_of
from torchassistant.data.cut import Cut, CutBatchSampler, CutCollator, CutEpochLoader
from torchassistant.data.epoch_loader import CountedBatch, EpochLoader, Sampling, identity
from torchassistant.data.lengths import ClaimedLength, batches_of
from torchassistant.data.object_rngs import has_state
from torchassistant.data.sampler_state import SamplerState
from torchassistant.data.turns import TurnOf, TurnsBatchSampler
from torchassistant.data.workers import (
    AUTO,
    PATIENCE,
    SeededDataset,
    WorkerStart,
    chosen_workers,
)

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
# Batches that are given as they get ready have another order every time. A worker that outlives its
# epoch goes on with what a stream has become in it, which a resumed run does not have.
_NOT_HONOURED = ("in_order",)
_NOT_FOR_STREAMS = ("in_order", "persistent_workers")


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
        order_seed: What the order follows from in training, where it is that of other loaders too;
            None leaves it to each loader.
        contiguous: Whether each row of the batches goes on from batch to batch.
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
        order_seed: int | None = None,
        contiguous: bool = False,
    ) -> None:
        self.dataset = dataset
        self.collator = collator
        self.kwargs = dict(kwargs)
        self.name = name
        self.dataset_name = dataset_name
        self.fills_caches = fills_caches
        self.named = {} if named is None else named
        self.order_seed = order_seed
        self.contiguous = contiguous
        drawn_by = self.kwargs.get("batch_sampler")
        if drawn_by is None:
            drawn_by = self.kwargs.get("sampler")
        is_stream = isinstance(dataset, IterableDataset)
        self.augments = augments
        self.sampler_state = (
            SamplerState(dataset, collator, *augments) if is_stream else SamplerState(drawn_by)
        )
        self.columns = columns_of(dataset) if type(collator) is DefaultCollator else None

    @property
    def draws_order(self) -> bool:
        """Whether the order in training is a permutation that is drawn here."""
        samplers = (self.kwargs.get(key) for key in ("sampler", "batch_sampler"))
        return (
            not isinstance(self.dataset, IterableDataset)
            and not self.contiguous
            and self.kwargs.get("shuffle", True) is not False
            and all(sampler is None for sampler in samplers)
        )

    @property
    def can_restart(self) -> bool:
        """Whether a pass can begin anew within an epoch: not of a stream that keeps no state."""
        return not isinstance(self.dataset, IterableDataset) or has_state(self.dataset)

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
        if self.contiguous and isinstance(self.dataset, IterableDataset):
            raise ValueError(
                '"contiguous" needs a dataset with a length, and this one is only iterated over'
            )
        DataLoader(self.dataset, **self._with_workers(self.kwargs, columns=None))
        self.for_training(0)
        self.for_evaluation(0)

    def in_process(self) -> LoaderFactory:
        """The same without workers, for who wants a batch or two."""
        return self._without(_WORKERS_ONLY, fills_caches=False)

    def keeping_all(self) -> LoaderFactory:
        """The same, and the last batch is kept where there are too few examples for a whole one."""
        return self._without(("drop_last",), self.fills_caches)

    def in_batches_of(self, examples: int) -> LoaderFactory:
        """The same for batches of another size, whole or not, without workers.

        A dataset that gives whole batches by itself gives those.
        """
        factory = self._without((*_WORKERS_ONLY, "drop_last"), fills_caches=False)
        if factory.kwargs.get("batch_size", 1) is not None:
            factory.kwargs["batch_size"] = examples
        return factory

    def _without(self, keys: Sequence[str], fills_caches: bool) -> LoaderFactory:
        kwargs = {key: value for key, value in self.kwargs.items() if key not in keys}
        return LoaderFactory(
            self.dataset,
            self.collator,
            kwargs,
            self.name,
            self.dataset_name,
            self.augments,
            fills_caches=fills_caches,
            named=self.named,
            order_seed=self.order_seed,
            contiguous=self.contiguous,
        )

    def for_training(self, seed: int, pins: bool = False, cut: Cut | None = None) -> EpochLoader:
        """A loader that shuffles, unless the config says otherwise.

        Args:
            seed: What everything random in it follows from.
            pins: Whether what comes from workers is pinned, where the config does not say.
            cut: Into what each batch is cut; None leaves it whole.
        """
        kwargs = self._with_pinning(self.kwargs, pins)
        return self._build(kwargs, seed, self.augments, shuffle=True, cut=cut)

    def for_evaluation(
        self, seed: int, pins: bool = False, turn: TurnOf | None = None
    ) -> EpochLoader:
        """A loader that reads the dataset in its own order.

        Args:
            seed: What is random in it follows from that.
            pins: Whether what comes from workers is pinned, where the config does not say.
            turn: Whose batches, where several processes take turns; None is all.
        """
        kwargs = {key: value for key, value in self.kwargs.items() if key not in _TRAINING_ONLY}
        return self._build(self._with_pinning(kwargs, pins), seed, (), shuffle=False, turn=turn)

    @staticmethod
    def _with_pinning(kwargs: Mapping[str, Any], pins: bool) -> dict[str, Any]:
        return {"pin_memory": True, **kwargs} if pins and kwargs.get("num_workers") else {**kwargs}

    @property
    def batch_sizes(self) -> list[int]:
        """How many examples batches of training have: whole ones, and a smaller last one.

        Nothing where that is not known beforehand.
        """
        kwargs = dict(self.kwargs)
        if isinstance(self.dataset, IterableDataset) or {"sampler", "batch_sampler"} & {*kwargs}:
            return []
        if kwargs.get("batch_size", 1) is None:
            return []
        batches = self._batch_sampler(kwargs, 0, False, False, None)
        numbers = dict.fromkeys((0, len(batches) - 1)) if len(batches) else ()
        return [batches.take_size(number) for number in numbers]

    def _build(
        self,
        kwargs: dict[str, Any],
        seed: int,
        augments: Sequence[Augment],
        shuffle: bool,
        cut: Cut | None = None,
        turn: TurnOf | None = None,
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
            numbers = bool(kwargs.get("num_workers")) or cut is not None
            batch_sampler = whole_batches = self._batch_sampler(
                kwargs, seed, shuffle, numbers, turn
            )
            if cut is not None and "batch_sampler" in kwargs:
                batch_sampler = kwargs["batch_sampler"] = CutBatchSampler(batch_sampler, cut)
            # A sampler of the user may draw what is no index, and the dataset take it.
            by_example = whole or any(augment.on == "examples" for augment in augments)
            if (
                not isinstance(whole_batches, CustomBatchSampler)
                and not by_example
                and self.columns is not None
            ):
                collate, columns = identity, self.columns
        kwargs = self._with_workers(kwargs, columns if not augments else None)
        if kwargs.get("num_workers"):
            kwargs.setdefault("timeout", PATIENCE)
        is_seeded = cut is not None and (columns is None or bool(augments))
        if batch_sampler is not None and (kwargs.get("num_workers") or is_seeded):
            dataset = SeededDataset(self.dataset, (self.collator, augments), seed, columns)
        origin = Origin(self.dataset, self.dataset_name, self.named, "batch_sampler" in kwargs)
        if augments:
            collate = Augmented(collate, augments)
        if is_stream:
            is_whole = kwargs.get("batch_size", 1) is None
            collate = _CountingCollator(collate, is_whole)
            if cut is not None and not is_whole:
                collate = CutCollator(collate, cut, (self.collator, augments))
            collate = collate if is_whole else StreamCollator(collate, origin)
        loader: DataLoader[Any] = DataLoader(
            dataset,
            collate_fn=collate,
            generator=torch.Generator(),
            worker_init_fn=WorkerStart(init) if kwargs.get("num_workers") else None,
            **kwargs,
        )
        length = self._claimed_length(loader, batch_sampler)
        columns = None if is_seeded else columns
        sampling = Sampling(batch_sampler, self.sampler_state, origin, columns, length)
        if cut is not None:
            return CutEpochLoader(cut, loader, seed, sampling, self.collator, self.fills_caches)
        return EpochLoader(loader, seed, sampling, self.collator, self.fills_caches)

    def _claimed_length(
        self, loader: DataLoader[Any], batch_sampler: ResumableBatchSampler | None
    ) -> ClaimedLength | None:
        """The length that a stream or a sampler claims."""
        if isinstance(batch_sampler, CutBatchSampler):
            batch_sampler = batch_sampler.whole
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
        self,
        kwargs: dict[str, Any],
        seed: int,
        shuffle: bool,
        numbers: bool,
        turn: TurnOf | None,
    ) -> ResumableBatchSampler:
        """The batch sampler; it takes the place of what the arguments say of the order.

        ``numbers`` says that who gets the index of a whole batch wants its number too.
        """
        shuffle = kwargs.pop("shuffle", shuffle)
        sampler, batches = kwargs.pop("sampler", None), kwargs.pop("batch_sampler", None)
        size, drop_last = kwargs.pop("batch_size", 1), kwargs.pop("drop_last", False)
        batch_sampler: ResumableBatchSampler
        if self.contiguous:
            batch_sampler = ContiguousBatchSampler(len(self.dataset), size or 1)
        elif batches is not None:
            batch_sampler = CustomBatchSampler(self.sampler_state, None, False, seed)
        elif sampler is not None:
            batch_sampler = CustomBatchSampler(self.sampler_state, size or 1, drop_last, seed)
        else:
            order = seed if self.order_seed is None else self.order_seed
            batch_sampler = ResumableBatchSampler(
                len(self.dataset), size or 1, drop_last, order if shuffle else None, self.dataset
            )
        if turn is not None:
            batch_sampler = TurnsBatchSampler(batch_sampler, turn)
        if size is None and batches is None:
            kwargs |= {"batch_size": None, "sampler": _SingleIndexSampler(batch_sampler, numbers)}
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
