"""The workers of torch's loader, and how it pins memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils import data
from torch.utils.data import DataLoader

_ITERATOR = "_iterator"
_WORKERS = "_workers"
_SHUT_DOWN = "_shutdown_workers"


def without_iterator(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A loader that begins with new workers, where it would go on with workers that are gone.

    Private: ``DataLoader._iterator``, in torch 2.10 to 2.14.

    Without it: a new loader with the same arguments.
    """
    if hasattr(loader, _ITERATOR):
        setattr(loader, _ITERATOR, None)
        return loader
    if loader.batch_sampler is not None:
        order: dict[str, Any] = {"batch_sampler": loader.batch_sampler}
    else:
        order = {"batch_size": None, "sampler": loader.sampler}
    if isinstance(loader.dataset, data.IterableDataset):
        order = {"batch_size": loader.batch_size, "drop_last": loader.drop_last}
    return DataLoader(loader.dataset, **order, **{key: getattr(loader, key) for key in _ARGUMENTS})


_ARGUMENTS = (
    *("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "generator"),
    *("multiprocessing_context", "prefetch_factor", "persistent_workers"),
)


def workers_of(iterator: Any) -> list[Any]:
    """The processes or threads that work for an iterator of a loader.

    Private: ``_workers`` of the iterator, in torch 2.10 to 2.14.

    Without it: none is known. How one has ended is unknown then, and one that does not end when
    it is asked to is not killed.
    """
    return list(getattr(iterator, _WORKERS, ()))


def ending_of(iterator: Any) -> Callable[[], object] | None:
    """What ends the workers of an iterator.

    Private: ``_shutdown_workers`` of the iterator, in torch 2.10 to 2.14.

    Returns:
        None where there are none, or without that name: they end when the iterator goes.
    """
    end: Callable[[], object] | None = getattr(iterator, _SHUT_DOWN, None)
    return end


def death_check() -> Callable[[], object]:
    """A function that raises ``RuntimeError`` where a worker has died; to be looked up once.

    Private: ``torch.utils.data._utils.signal_handling._error_if_any_worker_fails``, in torch 2.10
    to 2.14.

    Without it: one that does nothing. torch notices a death when it waits for the next batch.
    """
    found: Callable[[], object] = getattr(_handling(), "_error_if_any_worker_fails", _nothing)
    return found


def handles_deaths(handler: Any) -> bool:
    """Whether a handler of ``SIGCHLD`` is torch's, which raises at once where a worker dies.

    Private: that it stands in ``torch.utils.data._utils.signal_handling``, in torch 2.10 to 2.14.

    Without it: False; a death may be raised in the middle of an iteration then.
    """
    home = _handling()
    return home is not None and getattr(handler, "__module__", "") == home.__name__


def pinning() -> Callable[[Any], Any]:
    """A function that pins all tensors in a batch; to be looked up once, and called often.

    Private: ``torch.utils.data._utils.pin_memory.pin_memory``, in torch 2.10 to 2.14, which the
    loader itself calls.

    Without it: one that does so for tensors, what has a method ``pin_memory``, and those in
    mappings, lists and tuples.
    """
    home = getattr(getattr(data, "_utils", None), "pin_memory", None)
    found: Callable[[Any], Any] = getattr(home, "pin_memory", _pinned)
    return found


def _pinned(value: Any) -> Any:
    if isinstance(value, torch.Tensor) or hasattr(value, "pin_memory"):
        return value.pin_memory()
    if isinstance(value, Mapping):
        return {key: _pinned(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_pinned, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_pinned, value))
    return value


def _handling() -> Any:
    return getattr(getattr(data, "_utils", None), "signal_handling", None)


def _nothing() -> None:
    """Nothing shows whether a worker has died."""
