"""The cache of a dataset: where it is kept, and what its examples follow from."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch.utils.data import IterableDataset

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.build_order import needed_for
from torchassistant.assembly.object_checks import described_in
from torchassistant.assembly.user_code import code_of, meaning
from torchassistant.config import Key, Spec, as_data, asks_the_session, bytes_of, walk
from torchassistant.data import (
    CachedDataset,
    DiskStore,
    MemoryStore,
    Unstorable,
    cache_folder,
    encode,
)

_LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "torchassistant")
_SPEED_ONLY = ("cache", "cache_limit")


def has_length(dataset: Any) -> bool:
    """Whether a dataset can be asked for each of its examples, as a cache does."""
    is_stream = isinstance(dataset, IterableDataset)
    return not is_stream and all(hasattr(dataset, key) for key in ("__len__", "__getitem__"))


def with_cache(
    dataset: Any,
    name: str,
    spec: Spec,
    allowlist: Allowlist,
    decided: Mapping[Key, Any],
    drew: Collection[Key],
) -> CachedDataset:
    """A dataset with the cache that its definition asks for.

    Args:
        dataset: Built, with its preprocessors.
        name: The name of the definition.
        spec: The config.
        allowlist: Decides what may be imported.
        decided: What a session keeps: the indices of splits, the states of preprocessors.
        drew: The definitions that drew random numbers when they were built.
    """
    own = spec.group("datasets")[name]
    limit = None if own.cache_limit is None else bytes_of(own.cache_limit)
    if own.cache == "memory":
        return CachedDataset(dataset, MemoryStore(limit), name)
    below = needed_for(spec, [Key("datasets", name)])
    identity = {
        "definitions": [_definition(spec, key) for key in below],
        "decided": {f"{k.group}.{k.name}": _digest(decided[k]) for k in below if k in decided},
        "code": {
            name: meaning(source)
            for found in code_of(spec, allowlist, below).values()
            for name, source in found.items()
        },
        "versions": dict(_versions(spec, below)),
        "seed": spec.seed if _follows_from_the_seed(spec, below, drew) else None,
    }
    arguments = (value for key in below for _, value in walk(_arguments(spec, key)))
    files = [text for text in arguments if isinstance(text, str)]  # some of them name files
    store = DiskStore(cache_folder(), limit, json.dumps(identity), files)
    return CachedDataset(dataset, store, name)


def _definition(spec: Spec, key: Key) -> list[Any]:
    described = as_data(spec.group(key.group)[key.name])
    return [*key, {name: value for name, value in described.items() if name not in _SPEED_ONLY}]


def _arguments(spec: Spec, key: Key) -> list[Any]:
    own = spec.group(key.group)[key.name]
    return [getattr(own, "args", []), getattr(own, "kwargs", {})]


def _versions(spec: Spec, below: Collection[Key]) -> Iterator[tuple[str, str | None]]:
    """The versions of what makes examples, as far as they are known."""
    for library in _LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:  # a package that runs from its source folder
            yield library, _version_in_memory(library)
    for described in described_in(spec, below):
        package = described.name.partition(".")[0]
        yield f"{package} as imported", _version_in_memory(package)


def _version_in_memory(package: str) -> str | None:
    found = getattr(sys.modules.get(package), "__version__", None)
    return None if found is None else str(found)


def _follows_from_the_seed(spec: Spec, below: Collection[Key], drew: Collection[Key]) -> bool:
    """Whether another seed of the run may give other examples."""
    return any(key in drew or asks_the_session(spec.group(key.group)[key.name]) for key in below)


def _digest(value: Any) -> str:
    """A digest of state; where nobody can say what it is, one that never occurs again."""
    try:
        layout, data = encode(_plain(value))
    except Unstorable:
        return uuid.uuid4().hex
    return hashlib.sha256(json.dumps(layout).encode() + data).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, deque)):
        return [_plain(item) for item in value]
    return sorted(map(repr, value)) if isinstance(value, (set, frozenset)) else value
