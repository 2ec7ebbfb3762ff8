"""Columns ``NAME/KEY`` whose keys the source of a metric's or evaluator's class tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torchassistant.config.checks.resolver import Use
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.source_inspection import class_texts, find_source
from torchassistant.errors import near

Declared = Mapping[str, Iterable[tuple[str, ...] | None]]
"""The keys of each name that may have some; None where they are not known for certain."""


def declared_keys_of(scope: Scope, group: str, name: Any) -> tuple[str, ...] | None:
    """The keys that the class of a definition says that it gives, if its source shows that."""
    if not isinstance(name, str):
        return None
    spec = scope.groups[group][name].spec
    if isinstance(spec, Unknown) or isinstance(spec.class_, Unknown):
        return None
    path = spec.block.class_
    found = find_source(path) if isinstance(path, str) and "." in path else None
    return None if found is None else class_texts(found, "columns")


def note_wrong_keys(scope: Scope, uses: Iterable[Use], declared: Declared) -> None:
    """Report what is monitored, and certainly is none of the keys of its metric or evaluator."""
    for use in uses:
        known = _missed(use.name, declared)
        if known is not None:
            scope.note(f'no row has "{use.name}"{near(use.name, known)}', use.path)


def _missed(monitor: Any, declared: Declared) -> list[str] | None:
    """The columns that there are in place of one that there certainly is not; else None."""
    if not isinstance(monitor, str):
        return None
    columns: list[str] = []
    for name, several in declared.items():
        if monitor == name:
            return None
        for keys in several if monitor.startswith(f"{name}/") else ():
            if keys is None:
                return None
            columns += [f"{name}/{key}" for key in keys]
    is_there = any(monitor == one or monitor.startswith(f"{one}/") for one in columns)
    return columns if columns and not is_there else None
