"""What two sessions differ in: config, environment, code, results."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.overview.stored import (
    CODE,
    ENVIRONMENT,
    SPEC,
    Row,
    Unreadable,
    in_newest_checkpoint,
    looks_like_session,
    required,
    rows_of,
    stages_of,
)
from torchassistant.overview.summary import best_of

MISSING = None
"""What stands where only the other session has a value."""

Values = dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two sessions differ in; of each value, that of the one and that of the other.

    Args:
        config: By path in the config; definitions and stages by their names.
        environment: Versions, device, seed, commit, command, by key.
        code: By the name of the class or function: its lines as a unified diff.
        results: By display name: the last value, the least and the greatest of each.
    """

    config: Values
    environment: Values
    code: dict[str, list[str]]
    results: dict[str, dict[str, tuple[float | None, float | None]]]


def compare(one: Path, other: Path) -> Difference:
    """Compare two sessions, which may be trained meanwhile.

    Raises:
        SessionError: One is no session, or its config cannot be read.
    """
    specs = [_read(folder, SPEC) for folder in (one, other)]
    environments = [_optional(folder, ENVIRONMENT) for folder in (one, other)]
    histories = [_rows(folder, spec) for folder, spec in zip((one, other), specs, strict=True)]
    return Difference(
        {path: pair for path, pair in _differences(specs[0], specs[1]) if path != "session_dir"},
        dict(_differences(environments[0], environments[1])),
        _code(*(_sources(folder) for folder in (one, other))),
        _results(*histories),
    )


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not looks_like_session(folder):
        raise SessionError(f"{shown_path(folder)} is not a session folder")
    try:
        return required(folder, name)
    except Unreadable as error:
        raise SessionError(f"{shown_path(folder)} is damaged: {error}") from None


def _optional(folder: Path, name: str) -> dict[str, Any]:
    try:
        return required(folder, name)
    except Unreadable:
        return {}


def _rows(folder: Path, spec: dict[str, Any]) -> list[Row]:
    try:
        return [row for index in range(len(stages_of(spec))) for row in rows_of(folder, index)]
    except Unreadable as error:
        raise SessionError(f"{shown_path(folder)} is damaged: {error}") from None


def _differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Where two texts of JSON differ, by path; what has a name is found by it in its list."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            inner = f"{path}.{key}" if path else key
            yield from _of_member(one, other, key, inner)
    elif _are_named(one) and _are_named(other):
        ones, others = ({item["name"]: item for item in items} for items in (one, other))
        for name in dict.fromkeys([*ones, *others]):
            yield from _of_member(ones, others, name, f"{path}[{name}]")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        if any(isinstance(item, (dict, list)) for item in (*one, *other)):
            for position, pair in enumerate(zip(one, other, strict=True)):
                yield from _differences(*pair, f"{path}[{position}]")
        elif _unequal(one, other):
            yield path, (one, other)
    elif _unequal(one, other):
        yield path, (one, other)


def _of_member(
    one: Mapping[str, Any], other: Mapping[str, Any], key: str, path: str
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if key in one and key in other:
        yield from _differences(one[key], other[key], path)
    else:
        yield path, (one.get(key, MISSING), other.get(key, MISSING))


def _are_named(items: Any) -> bool:
    """Whether this is a list of objects that each have a name of their own."""
    if not (isinstance(items, list) and items):
        return False
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _unequal(one: Any, other: Any) -> bool:
    """Whether values of JSON differ; 1 and true do."""
    return type(one) is not type(other) or one != other


def _sources(folder: Path) -> dict[str, str]:
    """The code that a session was trained with, by name; none where none is stored."""
    try:
        roles = in_newest_checkpoint(folder, CODE)
    except Unreadable:
        return {}
    return {
        name: source
        for sources in roles.values()
        if isinstance(sources, dict)
        for name, source in sources.items()
        if isinstance(source, str)
    }


def _code(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, list[str]]:
    found = {}
    for name in sorted({*one, *other}):
        before, after = one.get(name, ""), other.get(name, "")
        if before != after:
            lines = (before.splitlines(), after.splitlines())
            found[name] = [*difflib.unified_diff(*lines, lineterm="")][2:]
    return found


def _results(
    one: list[Row], other: list[Row]
) -> dict[str, dict[str, tuple[float | None, float | None]]]:
    columns = dict.fromkeys(column for row in (*one, *other) for column in row)
    return {
        column: {
            "last": (_last(one, column), _last(other, column)),
            "least": (best_of(one, column, "min").value, best_of(other, column, "min").value),
            "greatest": (best_of(one, column, "max").value, best_of(other, column, "max").value),
        }
        for column in columns
    }


def _last(rows: list[Row], column: str) -> float | None:
    return next((row[column] for row in reversed(rows) if column in row), None)
