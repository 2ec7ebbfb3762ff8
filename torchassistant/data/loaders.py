"""Loader factories: from a dataset to the loaders of training and of evaluation."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler

from torchassistant.collators import DefaultCollator
from torchassistant.data.randomness import derived

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


class EpochSampler(Sampler[int]):
    """A permutation of the dataset that follows from a seed and the epoch alone.

    Args:
        count: The number of examples.
        seed: What the permutations follow from.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derived(self.seed, "order", self.epoch))
        return iter(torch.randperm(self.count, generator=generator).tolist())


class EpochLoader:
    """A ``DataLoader`` whose randomness follows from a seed and the epoch.

    Args:
        loader: The loader; its generator belongs to this object.
        seed: What the order and the seeds of the workers follow from.
    """

    def __init__(self, loader: DataLoader[Any], seed: int) -> None:
        self.loader = loader
        self.seed = seed

    def __len__(self) -> int:
        return len(self.loader)

    def batches(self, epoch: int) -> Iterator[Any]:
        """The batches of one epoch."""
        if isinstance(self.loader.sampler, EpochSampler):
            self.loader.sampler.epoch = epoch
        self.loader.generator.manual_seed(derived(self.seed, "workers", epoch))
        return iter(self.loader)


class LoaderFactory:
    """How batches are drawn from a dataset.

    Args:
        dataset: Gives examples.
        collator: List of examples → columns of a batch.
        kwargs: Arguments of ``torch.utils.data.DataLoader``.
        name: The name of the definition.
    """

    def __init__(
        self,
        dataset: Any,
        collator: Callable[[Sequence[Any]], Any],
        kwargs: Mapping[str, Any],
        name: str = "",
    ) -> None:
        self.dataset = dataset
        self.collator = collator
        self.kwargs = dict(kwargs)
        self.name = name

    def in_process(self) -> LoaderFactory:
        """The same without workers, for who wants a batch or two."""
        kwargs = {key: value for key, value in self.kwargs.items() if key not in _WORKERS_ONLY}
        return LoaderFactory(self.dataset, self.collator, kwargs, self.name)

    def for_training(self, seed: int) -> EpochLoader:
        """A loader that shuffles, unless the config says otherwise."""
        kwargs = dict(self.kwargs)
        shuffle = kwargs.pop("shuffle", True)
        drawn = kwargs.get("sampler") is not None or kwargs.get("batch_sampler") is not None
        if shuffle and not drawn and not isinstance(self.dataset, IterableDataset):
            kwargs["sampler"] = EpochSampler(len(self.dataset), seed)
        return self._build(kwargs, seed)

    def for_evaluation(self, seed: int) -> EpochLoader:
        """A loader that reads the dataset in its own order."""
        kwargs = {key: value for key, value in self.kwargs.items() if key not in _TRAINING_ONLY}
        return self._build(kwargs, seed)

    def _build(self, kwargs: dict[str, Any], seed: int) -> EpochLoader:
        init = kwargs.pop("worker_init_fn", None)
        # Workers that outlive their epoch would go on with the random numbers of the one before,
        # which a resumed run does not have.
        kwargs.pop("persistent_workers", None)
        # Without a batch size the dataset gives whole batches: the default has nothing to collate.
        whole = kwargs.get("batch_size", 1) is None and isinstance(self.collator, DefaultCollator)
        loader: DataLoader[Any] = DataLoader(
            self.dataset,
            collate_fn=None if whole else self.collator,
            generator=torch.Generator(),
            worker_init_fn=_WorkerStart(init) if kwargs.get("num_workers") else None,
            **kwargs,
        )
        return EpochLoader(loader, seed)


class _WorkerStart:
    """Workers leave Ctrl-C to the main process, which stops them after the iteration."""

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.then is not None:
            self.then(worker)
