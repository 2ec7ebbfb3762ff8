"""All that a report shows of a session, read as it is: whole or damaged, while it is trained."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchassistant.diagram import diagram_of, svg_of
from torchassistant.errors import SessionError, UserError, shown_path
from torchassistant.files import InvalidFile, parsed_json, read_regular
from torchassistant.overview import (
    ENVIRONMENT,
    SPEC,
    Summary,
    Unreadable,
    looks_like_session,
    required,
    size_and_time,
    stages_of,
    stored_graph,
    summarize,
)
from torchassistant.report.columns import (
    ColumnKind,
    classes_of_metrics,
    compared_columns,
    kinds_of,
    shown_losses,
)
from torchassistant.report.histories import Histories, Table, read_histories
from torchassistant.report.predictions import (
    ImageRoom,
    Judge,
    Look,
    read_evaluations,
    read_results,
    read_samples,
)
from torchassistant.report.row_tensors import TensorMetric, read_tensors

_CHECKPOINT = re.compile(r"([0-9]{10,})(-[0-9]+)?")
_MOST_CHANGES = 200
_LONGEST_DIFF = 400


@dataclass(frozen=True, slots=True)
class StoredState:
    """A checkpoint, or weights that were kept.

    Args:
        name: Its path below the session.
        step: Iterations over all stages; None of weights that do not say it.
        size: Bytes.
        written: Seconds since 1970.
    """

    name: str
    step: int | None
    size: int
    written: float


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a report shows of a session.

    Args:
        name: What it is called in the report.
        summary: How far it is.
        stages: The names of its stages; None of one without a name.
        spec: Its config; empty where that is damaged.
        histories: What it has measured.
        kinds: What its columns show.
        tensors: What metrics gave as tensors.
        looks: What its models have made of examples.
        results: What evaluations gave, by step.
        environment: Under what it was created.
        states: What is stored of models.
        changes: What was changed since; code as the lines of a diff.
        range_tests: The curves of ``find-lr``, by optimizer.
        graph: Its training graph as SVG; None where its config is damaged.
        class_names: What its classes are called, by their number.
        problems: A sentence for each thing that could not be read.
    """

    name: str
    summary: Summary
    stages: list[str | None] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)
    histories: Histories = field(default_factory=lambda: Histories(Table(), Table()))
    kinds: dict[str, ColumnKind] = field(default_factory=dict)
    tensors: list[TensorMetric] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    results: dict[str, dict[str, float]] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    states: list[StoredState] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    range_tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    graph: str | None = None
    class_names: dict[int, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_session(folder: Path, name: str, room: ImageRoom, graphs: dict[str, str]) -> SessionReport:
    """What a report shows of a session.

    Args:
        folder: The session.
        name: What it is called in the report.
        room: For images.
        graphs: Training graphs that are drawn already, which sessions of equal ones share.

    Raises:
        SessionError: It is none.
    """
    if not looks_like_session(folder):
        raise SessionError(f"{shown_path(folder)} is not a session folder")
    problems: list[str] = []
    summary = summarize(folder)
    if summary.problem is not None:
        problems.append(summary.problem)
    spec = _object(folder, SPEC, problems)
    try:
        stages = stages_of(spec)
        histories = read_histories(folder, len(stages))
    except Unreadable as error:
        stages, histories = [], Histories(Table(), Table())
        problems.append(str(error))
    names = [*histories.rows.values, *histories.within.values]
    best = [_step_of(histories.rows, one.monitor, one.value) for one in summary.best]
    tensors, damaged = read_tensors(
        folder, classes_of_metrics(spec), [step for step in best if step is not None]
    )
    judge = Judge(shown_losses(spec), compared_columns(spec))
    return SessionReport(
        name,
        summary,
        [stage["name"] if isinstance(stage.get("name"), str) else None for stage in stages],
        spec,
        histories,
        kinds_of(list(dict.fromkeys(names)), spec),
        tensors,
        [*read_evaluations(folder, judge, room), *read_samples(folder, judge, room)],
        read_results(folder),
        _object(folder, ENVIRONMENT, problems),
        list(_states(folder)),
        list(_changes(folder)),
        dict(_range_tests(folder)),
        _graph(folder, graphs, problems),
        _class_names(folder),
        list(dict.fromkeys([*problems, *damaged])),
    )


def _object(folder: Path, name: str, problems: list[str]) -> dict[str, Any]:
    try:
        return required(folder, name)
    except Unreadable as error:
        problems.append(str(error))
        return {}


def _step_of(table: Table, column: str, value: float | None) -> int | None:
    if value is None or column not in table.values:
        return None
    values = table.values[column]
    return int(table.steps[values.index(value)]) if value in values else None


def _states(folder: Path) -> Iterator[StoredState]:
    """Checkpoints in their order, then weights."""
    for name in sorted(_listed(folder / "checkpoints")):
        match = _CHECKPOINT.fullmatch(name)
        if match is not None:
            size, written = size_and_time(folder / "checkpoints" / name)
            yield StoredState(f"checkpoints/{name}", int(match[1]), size, written)
    for kind in ("best", "callbacks"):
        for name in sorted(_listed(folder / "weights" / kind)):
            size, written = size_and_time(folder / "weights" / kind / name)
            yield StoredState(f"weights/{kind}/{name}", None, size, written)


def _listed(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []


def _changes(folder: Path) -> Iterator[dict[str, Any]]:
    """The last lines of the log of changes; where code has changed, as a diff."""
    try:
        lines = read_regular(folder / "changes.jsonl", 1 << 26).splitlines()
    except (OSError, InvalidFile):
        return
    for line in lines[-_MOST_CHANGES:]:
        try:
            change = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(change, dict):
            yield change | _as_diff(change)


def _range_tests(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What ``find-lr`` has kept, as far as it has a curve of numbers."""
    for name in sorted(_listed(folder / "find-lr")):
        try:
            found = parsed_json(read_regular(folder / "find-lr" / name, 1 << 24))
        except (OSError, InvalidFile):
            continue
        curve = found.get("curve") if isinstance(found, dict) else None
        if isinstance(curve, list):
            points = [
                [point.get(key) for key in ("lr", "loss", "smoothed")]
                for point in curve
                if isinstance(point, dict) and _is_positive(point.get("lr"))
            ]
            yield Path(name).stem, {"suggestion": found.get("suggestion"), "points": points}


def _graph(folder: Path, drawn: dict[str, str], problems: list[str]) -> str | None:
    try:
        spec, shapes = stored_graph(folder)
    except UserError:
        return None
    diagram = diagram_of(spec, "the session", None, shapes)
    key = repr(diagram)
    if key not in drawn:
        try:
            drawn[key] = svg_of(diagram)
        except UserError as error:
            problems.append(str(error))
            return None
    return drawn[key]


def _class_names(folder: Path) -> dict[int, list[str]]:
    """What classes are called, by their number, where all datasets with so many agree."""
    try:
        kept = parsed_json(read_regular(folder / "static" / "classes.json", 1 << 24))
    except (OSError, InvalidFile):
        return {}
    found: dict[int, list[str]] = {}
    for names in kept.values() if isinstance(kept, dict) else ():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            continue
        if found.setdefault(len(names), names) != names:
            found[len(names)] = []
    return {count: names for count, names in found.items() if names}


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _as_diff(change: Mapping[str, Any]) -> dict[str, Any]:
    before, after = change.get("before"), change.get("after")
    if not (isinstance(before, str) and isinstance(after, str) and "\n" in before + after):
        return {}
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="")
    return {"before": None, "after": None, "diff": [*lines][2:_LONGEST_DIFF]}


def names_of(folders: Sequence[Path]) -> list[str]:
    """What sessions are called: by their folders, with as many of the folders above as it takes.

    >>> names_of([Path("/a/run"), Path("/b/run"), Path("/b/other")])
    ['a/run', 'b/run', 'other']
    """
    whole = [Path(os.path.abspath(folder)).parts for folder in folders]
    return [_shortest(parts, whole) for parts in whole]


def _shortest(parts: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> str:
    for length in range(1, len(parts)):
        if sum(other[-length:] == parts[-length:] for other in others) == 1:
            return "/".join(parts[-length:])
    return "/".join(parts[-1:])
