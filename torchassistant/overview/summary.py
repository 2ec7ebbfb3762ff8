"""A session in a line: how far it is, how good it has become, and whether somebody trains it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torchassistant.overview.stored import (
    ENVIRONMENT,
    SPEC,
    STATE,
    Row,
    Unreadable,
    in_newest_checkpoint,
    looks_like_session,
    required,
    rows_of,
    size_and_time,
    stages_of,
    trainer_of,
)

DEEPEST = 4
"""Levels of folders that are looked through for sessions."""

Condition = Literal["running", "finished", "stopped", "damaged"]
_MOST_STAGES = 1000


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of what the best checkpoints are chosen by.

    Args:
        monitor: The column of the history.
        mode: ``min`` where less is better, ``max`` where more is.
        value: The value; None where nothing was measured yet.
        epoch: The epoch of its row.
    """

    monitor: str
    mode: str
    value: float | None
    epoch: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What can be seen of a session from outside.

    Args:
        path: Its folder.
        condition: ``running``: a process trains it; ``finished``: its last stage is done;
            ``stopped``: more is to be trained; ``damaged``: ``problem`` says why.
        process: The process that trains it.
        problem: What cannot be read.
        stage: The stage at hand, counted from 1; of a finished session the last one.
        stages: How many there are.
        stage_name: What the stage is called, where it has a name.
        epoch: Epochs over all stages.
        step: Iterations over all stages.
        best: One for each monitor of ``checkpoints.best``.
        last: The last row of the history: losses and metrics by display name.
        created: When, in ISO 8601, UTC.
        written: When one of its files was last written, in seconds since 1970.
        size: Bytes of all its files.
    """

    path: Path
    condition: Condition
    process: int | None = None
    problem: str | None = None
    stage: int | None = None
    stages: int | None = None
    stage_name: str | None = None
    epoch: int | None = None
    step: int | None = None
    best: tuple[Best, ...] = ()
    last: dict[str, float] | None = None
    created: str | None = None
    written: float | None = None
    size: int = 0


def sessions_in(folder: Path) -> Iterator[Path]:
    """The sessions at or below a folder, by name; hidden folders and links are left out.

    Raises:
        OSError: The folder cannot be read.
    """
    if looks_like_session(folder):
        yield folder
        return
    with os.scandir(folder):
        pass  # what cannot be read is told of the folder itself alone
    yield from _below(folder, DEEPEST)


def _below(folder: Path, levels: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            inner = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return
    for name in inner:
        if looks_like_session(folder / name):
            yield folder / name
        elif levels > 1:
            yield from _below(folder / name, levels - 1)


def summarize(folder: Path) -> Summary:
    """What can be seen of a session; of a damaged one, that it is, and why."""
    size, written = size_and_time(folder)
    process = trainer_of(folder)
    try:
        return _summary(folder, process, size, written)
    except Unreadable as error:
        return Summary(folder, "damaged", process, str(error), size=size, written=written)


def _summary(folder: Path, process: int | None, size: int, written: float) -> Summary:
    spec = required(folder, SPEC)
    progress = in_newest_checkpoint(folder, STATE).get("progress")
    stages = stages_of(spec)
    at, epoch, step = (_counter(progress, key) for key in ("stage", "epoch", "step"))
    rows = [rows_of(folder, index) for index in range(min(at + 1, len(stages), _MOST_STAGES))]
    every = [row for of_stage in rows for row in of_stage]
    last = every[-1] if every else {}
    # Rows come between two checkpoints, too.
    epoch = max(epoch, int(last.get("epoch", 0)))
    is_done = at >= len(stages)
    index = min(at, len(stages) - 1)
    condition: Condition = "finished" if is_done else "stopped"
    return Summary(
        folder,
        "running" if process is not None else condition,
        process,
        stage=index + 1,
        stages=len(stages),
        stage_name=_text(stages[index].get("name")),
        epoch=epoch,
        step=max(step, int(last.get("step", 0))),
        best=tuple(_bests(spec, every)),
        last={name: value for name, value in last.items() if name not in _NO_RESULTS},
        created=_created(folder),
        written=written,
        size=size,
    )


_NO_RESULTS = ("epoch", "step", "seconds")


def _counter(progress: Any, key: str) -> int:
    value = progress.get(key) if isinstance(progress, dict) else None
    if type(value) is not int or value < 0:
        raise Unreadable(f"{STATE} of a checkpoint does not say how far the training is")
    return value


def _bests(spec: dict[str, Any], rows: list[Row]) -> Iterator[Best]:
    checkpoints = spec.get("checkpoints")
    given = checkpoints.get("best") if isinstance(checkpoints, dict) else None
    for best in given if isinstance(given, list) else [given]:
        if isinstance(best, dict) and isinstance(best.get("monitor"), str):
            mode = "max" if best.get("mode") == "max" else "min"
            yield best_of(rows, best["monitor"], mode)


def best_of(rows: list[Row], monitor: str, mode: str) -> Best:
    """The best value of a column, the first one of several; what is not finite does not count."""
    found = [row for row in rows if monitor in row and math.isfinite(row[monitor])]
    if not found:
        return Best(monitor, mode, None, None)
    choose = max if mode == "max" else min
    row = choose(found, key=lambda row: row[monitor])
    return Best(monitor, mode, row[monitor], int(row.get("epoch", 0)))


def _created(folder: Path) -> str | None:
    try:
        return _text(required(folder, ENVIRONMENT).get("time"))
    except Unreadable:
        return None  # nothing is read from it but by people


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
