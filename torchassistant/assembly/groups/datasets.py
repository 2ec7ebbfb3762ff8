"""Datasets: objects, links and merges, with preprocessors and a cache over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset

from torchassistant.assembly.build_context import BuildContext, Defined
from torchassistant.assembly.dataset_cache import has_length, with_cache
from torchassistant.assembly.groups.assembler import Assembler, Member
from torchassistant.assembly.parts import Parts
from torchassistant.config import Key
from torchassistant.data import CachedDataset, MergedDataset, PreprocessedDataset, uncached


def _build(context: BuildContext, one: Defined) -> Any:
    with context.noting_draws(one.key):
        dataset = _preprocessed(context, one)
    return dataset if one.spec.cache is None else _cached(context, one, dataset)


def _preprocessed(context: BuildContext, one: Defined) -> Any:
    spec, parts = one.spec, context.parts
    if spec.is_object:
        dataset = context.object_of(one)
    elif spec.link:
        dataset = parts.dataset(spec.link)
    else:
        dataset = MergedDataset([parts.dataset(part) for part in spec.merge])
    if not any(spec.preprocessors):
        return dataset
    processes = [parts.preprocessors[p].process if p else None for p in spec.preprocessors]
    return PreprocessedDataset(dataset, processes, one.name)


def _cached(context: BuildContext, one: Defined, dataset: Any) -> CachedDataset:
    if not has_length(dataset):
        message = f"{one.what} has no length or can only be iterated over, and cannot be cached"
        raise context.maker.problem(message, (*one.path, "cache"))
    decided = {
        **{Key("splits", name): indices for name, indices in context.fitted.splits.items()},
        **{Key("preprocessors", n): state for n, state in context.fitted.preprocessors.items()},
    }
    allowlist = context.maker.allowlist
    return with_cache(dataset, one.name, context.spec, allowlist, decided, context.drew)


def _members(parts: Parts, name: str) -> Iterator[Member]:
    dataset, id = parts.datasets[name], f"datasets/{name}"
    yield Member(id, uncached(dataset), stored=False)
    # One that can only be iterated over is read again from its beginning.
    if not isinstance(dataset, IterableDataset):
        yield Member(id, dataset, draws=False, runs=False)


DATASETS = Assembler(_build, _members)
