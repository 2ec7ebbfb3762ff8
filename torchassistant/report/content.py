"""What a report shows, as the plain data that its page reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.overview import Difference, compare, sessions_in
from torchassistant.report.columns import compared_columns, shown_losses
from torchassistant.report.histories import Table
from torchassistant.report.packing import packed
from torchassistant.report.predictions import (
    ImageRoom,
    Judge,
    Look,
    Predictions,
    read_predictions,
)
from torchassistant.report.row_tensors import Numbers, RowTensor, TensorMetric, curves_of
from torchassistant.report.sessions import SessionReport, names_of, read_session

_ROOM_FOR_IMAGES = 2_000_000
_MOST_WITHIN = 20_000
"""Rows within epochs of one session; of more, some are left out, evenly."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report shows.

    Args:
        sessions: In the order in which they were given.
        differences: Between the first one and each of the others that can be compared with it.
        files: What stands in files of predictions that were given.
        watched: Seconds between two looks, where the report follows its sessions.
    """

    sessions: list[SessionReport]
    differences: list[Difference | None]
    files: list[Look]
    watched: float | None = None


def expanded(given: Sequence[Path]) -> list[Path]:
    """The sessions that are meant: a folder that is none stands for the sessions in it.

    Raises:
        SessionError: There is none.
    """
    found: dict[str, Path] = {}
    for folder in given:
        if not folder.is_dir():
            why = "is a file" if folder.exists() else "does not exist"
            raise SessionError(f"{shown_path(folder)} is not a session folder: it {why}")
        inner = list(sessions_in(folder))
        if not inner:
            raise SessionError(f"{shown_path(folder)} is not a session folder, and none is in it")
        for path in inner:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def read_report(
    folders: Sequence[Path], predictions: Sequence[Path] = (), watched: float | None = None
) -> Report:
    """Read what a report shows.

    Args:
        folders: The sessions; each once.
        predictions: Files that ``infer -o`` has written.
        watched: Seconds until the report is written again.

    Raises:
        SessionError: One is no session; a file holds no predictions.
    """
    room = _ROOM_FOR_IMAGES // (len(folders) + bool(predictions))
    graphs: dict[str, str] = {}
    sessions = [
        read_session(folder, name, ImageRoom(room), graphs)
        for folder, name in zip(folders, names_of(folders), strict=True)
    ]
    differences = [_difference(folders[0], other) for other in folders[1:]]
    judge = Judge(
        [loss for session in sessions for loss in shown_losses(session.spec)],
        [pair for session in sessions for pair in compared_columns(session.spec)],
    )
    left = ImageRoom(room)
    files = [Look(path.name, "file", [_predictions(path, judge, left)]) for path in predictions]
    return Report(sessions, differences, files, watched)


def _difference(one: Path, other: Path) -> Difference | None:
    try:
        return compare(one, other)
    except SessionError:
        return None  # which one is damaged stands in the report


def _predictions(path: Path, judge: Judge, room: ImageRoom) -> Predictions:
    found = read_predictions(path, judge, room, path.name)
    if found is None:
        raise SessionError(
            f"{shown_path(path)} holds no predictions: it is no file that infer -o has written "
            "(.csv, .jsonl or .ndjson)"
        )
    return found


def as_json(report: Report, version: str) -> str:
    """A report as JSON that may stand in a script of HTML.

    Args:
        report: What is shown.
        version: Of this package.
    """
    data = {
        "version": version,
        "written": time.time(),
        "watched": report.watched,
        "sessions": [_session(session) for session in report.sessions],
        "differences": [
            None
            if one is None
            else {"config": one.config, "environment": one.environment, "code": one.code}
            for one in report.differences
        ],
        "files": [_look(look) for look in report.files],
    }
    text = json.dumps(_finite(data), separators=(",", ":"))
    # "</script>" would end the element, and "<!--" change how its end is found.
    return text.replace("<", "\\u003c")


def _session(session: SessionReport) -> dict[str, Any]:
    summary = session.summary
    elapsed = session.histories.rows.elapsed
    return {
        "name": session.name,
        "path": shown_path(summary.path),
        "state": summary.condition,
        "problems": session.problems,
        "stage": summary.stage,
        "stages": session.stages,
        "epoch": summary.epoch,
        "step": summary.step,
        "elapsed": elapsed[-1] if elapsed else None,
        "best": [asdict(best) for best in summary.best],
        "created": summary.created,
        "written": summary.written,
        "size": summary.size,
        "kinds": {name: asdict(kind) for name, kind in session.kinds.items()},
        "rows": _table(session.histories.rows),
        "phases": {name: packed(column) for name, column in session.histories.rows.phases.items()},
        "within": _table(session.histories.within, _MOST_WITHIN),
        "tensors": [_tensor(metric, session.histories.rows) for metric in session.tensors],
        "looks": [_look(look) for look in session.looks],
        "results": session.results,
        "environment": session.environment,
        "seed": session.spec.get("seed", session.environment.get("seed")),
        "states": [asdict(state) for state in session.states],
        "changes": session.changes,
        "graph": session.graph,
        "class_names": session.class_names,
        "range_tests": session.range_tests,
        "config": session.spec,
    }


def _table(table: Table, most: int | None = None) -> dict[str, Any]:
    """A table in packed columns, with every row, or evenly chosen ones."""
    count = len(table)
    every = 1 if most is None else -(-count // most) or 1
    columns: dict[str, Sequence[float | None]] = {
        "stages": table.stages,
        "epochs": table.epochs,
        "steps": table.steps,
        "elapsed": table.elapsed,
        "clock": table.clock,
    }
    return {
        "count": len(range(0, count, every)),
        "of": count,
        **{name: packed(column[::every]) for name, column in columns.items()},
        "values": {name: packed(column[::every]) for name, column in table.values.items()},
    }


def _tensor(metric: TensorMetric, rows: Table) -> dict[str, Any]:
    epochs = dict(zip(rows.steps, rows.epochs, strict=True))
    return {
        "name": metric.name,
        "look": metric.look,
        "count": metric.count,
        "rows": [
            {
                "stage": row.stage,
                "step": row.step,
                "epoch": epochs.get(row.step),
                **_value(row, metric.look),
            }
            for row in metric.rows
        ],
    }


def _value(row: RowTensor, look: str | None) -> dict[str, Any]:
    if isinstance(row.value, Numbers):
        return {"shape": row.value.shape, "data": packed(row.value.values)}
    if look is None:
        return {}
    return {"curves": [[packed(x), packed(y)] for x, y in curves_of(row.value)]}


def _look(look: Look) -> dict[str, Any]:
    return asdict(look)


def _finite(value: Any) -> Any:
    """The same data, with the names of numbers that are not finite: JSON has none for them."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not -_LARGEST <= value <= _LARGEST:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


_LARGEST = 1.7976931348623157e308
