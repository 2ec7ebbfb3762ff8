"""Names of definitions, as they stand in definitions and pipelines, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torchassistant.config.tree import Path

SLICES = {"train": 0, "val": 1, "test": 2}
DATASET_OR_SLICE = "datasets or slices"
LOSSES = "losses"
OWNERS = ("datasets", "preprocessors", "collators", "models", "optimizers", "losses", "metrics")
"""Groups whose objects have attributes that arguments may name."""

_SLICE = re.compile(r"(?P<split>[^.\[\]]+)(?:\.(?P<word>\w+)|\[(?P<index>[0-9]+)\])")


class Key(NamedTuple):
    """A definition: names are unique within their group."""

    group: str
    name: str


class Slice(NamedTuple):
    """One slice of a split."""

    split: str
    position: int


class Reference(NamedTuple):
    """One name that stands in a definition or in a pipeline.

    Args:
        path: Where, from the definition or pipeline.
        group: The group that the name is of, or ``DATASET_OR_SLICE``.
        name: The name as written.
    """

    path: Path
    group: str
    name: str


def as_slice(name: str) -> Slice | None:
    """``split.train`` or ``split[0]`` as a slice; None where the name has another form."""
    found = _SLICE.fullmatch(name)
    if not found:
        return None
    if found["index"]:
        return Slice(found["split"], int(found["index"]))
    index = SLICES.get(found["word"])
    return None if index is None else Slice(found["split"], index)


def module_named(name: str) -> Key:
    """What an optimizer, a clipper or a hook is for: a model, or ``losses.NAME``, a loss."""
    group, dot, rest = name.partition(".")
    return Key(group, rest) if dot and group == LOSSES else Key("models", name)


def target(reference: Reference, defined: Mapping[Key, Any]) -> Key | None:
    """The definition that a reference means, or None where there is none."""
    if reference.group != DATASET_OR_SLICE:
        key = Key(reference.group, reference.name)
        return key if key in defined else None
    key = Key("datasets", reference.name)
    if key in defined:
        return key
    piece = as_slice(reference.name)
    key = Key("splits", piece.split if piece else "")
    return key if key in defined else None
