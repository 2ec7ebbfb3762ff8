"""What trackers are given of a session: its stored history, and what it is made with."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from torchassistant.config import Spec, as_data
from torchassistant.errors import DataError
from torchassistant.session.files.durable_files import as_json
from torchassistant.session.files.manifest import Fingerprints
from torchassistant.session.folder.environment import ENVIRONMENT
from torchassistant.session.history.history import History
from torchassistant.session.history.stored_samples import (
    NotedSamples,
    StoredSamples,
    stored_samples,
)
from torchassistant.trackers import (
    STEPS,
    About,
    News,
    Picture,
    Pixels,
    Point,
    Text,
    drawing_of,
    pixels_of,
    side_by_side,
)
from torchassistant.training import Row, step_of

_OF_ROWS = ("step", "time")
"""Columns that say when a row is, and are no measurement."""


_LONGEST_CELL = 500
"""Signs of a cell of a table of samples."""


class HistoryFeed:
    """Tells the rows of a history, each once, with the tensors that metrics gave with them.

    Columns of an epoch's row keep their names; those of rows within epochs get ``steps/`` before
    them, because one that stands in both means two things.

    Args:
        about: What the session is.
        history: As a checkpoint holds it. What is added to it later is told when it is stored too:
            that is known to whoever asks.
        stages: How many stages there are.
    """

    def __init__(self, about: About, history: History, stages: int) -> None:
        self.about = about
        self.history = history
        self.stages = stages
        self._seen: defaultdict[tuple[str, int], int] = defaultdict(int)
        """Bytes of each file that were told."""
        self._times: dict[tuple[int, int], float] = {}
        """When rows were added, by stage and step."""
        self._clock = about.created
        """When the last row was added, where nobody wrote that down."""

    def news(self) -> News:
        """What was added since it was asked last; the first time, everything.

        Raises:
            SessionError: What is stored is no history.
        """
        found = News()
        self._read_times()
        for stage in range(self.stages):
            rows = self.history.rows_after(stage, self._seen["rows", stage])
            for row in self._noted("rows", stage, rows):
                self._add_row(found, stage, row)
            steps = self.history.step_rows_after(stage, self._seen["steps", stage])
            for row in self._noted("steps", stage, steps):
                found.points.extend(_points(row, float(row["time"] or 0), STEPS))
        pictures, self._seen["pictures", 0] = self.history.pictures_after(self._seen["pictures", 0])
        for name, step, time, base64 in pictures:
            found.pictures.append(Picture(name, step, time, partial(pixels_of, base64)))
        samples, self._seen["samples", 0] = self.history.samples_after(self._seen["samples", 0])
        for noted in samples:
            self._add_samples(found, noted)
        found.pictures.sort(key=lambda picture: (picture.step, picture.time))
        found.texts.sort(key=lambda text: (text.step, text.time))
        found.points.sort(key=lambda point: (point.step, point.time))
        return found

    def _read_times(self) -> None:
        rows = self._noted("times", 0, self.history.times_after(self._seen["times", 0]))
        for row in rows:
            self._times[int(row["stage"] or 0), step_of(row)] = float(row["time"] or 0)

    def _noted(self, kind: str, stage: int, read: tuple[list[Row], int]) -> list[Row]:
        rows, self._seen[kind, stage] = read
        return rows

    def _add_row(self, found: News, stage: int, row: Row) -> None:
        step = step_of(row)
        # Earlier versions have stored no times. What is made up is the same each time.
        self._clock = self._times.get((stage, step), self._clock + float(row["seconds"] or 0))
        time = self._clock
        found.points.extend(_points(row, time))
        for name, value in self.history.data_of(stage, step).items():
            if drawing_of(value) is not None:
                draw = partial(self._drawn, stage, step, name)
                found.pictures.append(Picture(name, step, time, draw))

    def _drawn(self, stage: int, step: int, name: str) -> Pixels:
        """Read again what is drawn, as all rows together may be large."""
        draw = drawing_of(self.history.data_of(stage, step)[name])
        assert draw is not None, name
        return draw()

    def _add_samples(self, found: News, noted: NotedSamples) -> None:
        step = noted.step
        time = self._times.get((noted.stage, step), self._clock)
        stored = stored_samples(noted, self.history.logs.session, noted.stage)
        for column in noted.images:
            draw = partial(_side_by_side, stored, column)
            found.pictures.append(Picture(f"{noted.name}/{column}", step, time, draw))
        found.texts.append(Text(noted.name, step, time, partial(_as_table, stored)))


def _side_by_side(samples: StoredSamples, column: str) -> Any:
    """The images of a column; one that somebody has removed since is left out."""
    try:
        files = list(samples.images_of(column))
    except DataError:
        files = []
    return side_by_side([path for path in files if path.is_file()])


def _as_table(samples: StoredSamples) -> str:
    """What the samples hold besides images, as a table in Markdown."""
    try:
        rows = samples.rows()
    except DataError as error:
        return str(error)
    names = list(dict.fromkeys(n for row in rows for n in row if n not in samples.images))
    lines = [names, ["---"] * len(names), *([_cell(row.get(n)) for n in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    short = text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"
    return " ".join(short.replace("|", "\\|").split())


def _points(row: Row, time: float, prefix: str = "") -> Iterator[Point]:
    step, left_out = step_of(row), _OF_ROWS if prefix == "" else (*_OF_ROWS, "epoch")
    for column, value in row.items():
        if value is not None and column not in left_out:
            yield Point(prefix + column, step, time, float(value))


def about_session(path: Path, spec: Spec, fixed: Fingerprints) -> About:
    """What a session is.

    Args:
        path: Its folder.
        spec: Its config.
        fixed: The fingerprints of the files of it that never change.
    """
    data = as_data(spec)
    return About(
        session=fixed[ENVIRONMENT]["sha256"][:16],
        name=path.name,
        created=_created(path / ENVIRONMENT),
        config=as_json(data).decode(),
        parameters=parameters_in(data),
    )


def _created(environment: Path) -> float:
    """When a session was created, in seconds since 1970, UTC; 0 where that cannot be read."""
    try:
        return datetime.fromisoformat(json.loads(environment.read_bytes())["time"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def parameters_in(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """The hyperparameters of a config: every number, and every argument and class of an object.

    Args:
        config: As plain data.

    Returns:
        Values by ``seed``, ``GROUP.NAME.ARGUMENT``, ``pipelines.NAME.…`` and ``stages.INDEX.…``.
        A list of numbers is one text.
    """
    found: dict[str, str | int | float | bool] = {"seed": config["seed"]}
    initialize = config["initialize"]
    parts = {f"{d['group']}.{d['name']}": d["spec"] for d in initialize["definitions"]}
    parts |= {f"pipelines.{name}": spec for name, spec in initialize["pipelines"].items()}
    parts |= {f"stages.{index}": spec for index, spec in enumerate(config["train"]["stages"])}
    for name, spec in parts.items():
        for path, value in _leaves(spec):
            is_argument = "kwargs" in path or "args" in path or path[-1:] == ("class",)
            if is_argument or (isinstance(value, int | float) and not isinstance(value, bool)):
                found.setdefault(".".join((name, *(p for p in path if p != "kwargs"))), value)
    return found


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, str(index)))
    elif isinstance(value, list):
        yield path, json.dumps(value, ensure_ascii=False)
    elif value is not None:
        yield path, value
