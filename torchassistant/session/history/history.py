"""The history of a session: CSV files that are only ever added to, one or two a stage.

``metrics/0.csv`` has a row for each epoch, and for each validation within one; ``steps-0.csv`` has
those that ``log`` asks for, with the time of each; ``times.csv`` has the times of all the others,
and the seconds that each phase of the training took since the row before.
Images of debug pipelines stand in ``pictures.jsonl``; ``samples.jsonl`` says where samples are.
"""

from __future__ import annotations

import csv
import io
import json
import time
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from torchassistant.errors import SessionError, near
from torchassistant.files import InvalidFile
from torchassistant.session.files.append_only_logs import (
    METRICS,
    PICTURES,
    SAMPLES,
    STEPS,
    TIMES,
    Logs,
)
from torchassistant.session.history.row_data import RowData, data_file, decoded, encoded
from torchassistant.session.history.stored_samples import NotedSamples, parsed_samples
from torchassistant.training import Data, Row, step_of

if TYPE_CHECKING:
    import pandas as pd


class StoredPicture(NamedTuple):
    """A picture of a debug pipeline.

    Args:
        name: That of the pipeline; with ``/KEY``, where it gave several.
        step: Iterations over all stages.
        time: In seconds since 1970, UTC.
        base64: A PNG file.
    """

    name: str
    step: int
    time: float
    base64: bytes


class History:
    """The rows of every stage.

    Args:
        logs: ``metrics/0.csv``, ``metrics/1.csv``, … are among them.
    """

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self._headers: dict[str, list[str]] = {}

    def start(self, stage: int, header: Sequence[str]) -> list[str]:
        """The header of a stage, which is fixed when the stage starts."""
        return self._start(_file(stage), header)

    def start_steps(self, stage: int, header: Sequence[str]) -> list[str]:
        """The header of the rows that ``log`` asks for, fixed when the first one may come."""
        return self._start(_steps_file(stage), header)

    def _start(self, file: str, header: Sequence[str]) -> list[str]:
        if file not in self.logs:
            self.logs.add(file, _line(header))
        if file not in self._headers:
            text = self.logs.text(file).decode()
            self._headers[file] = next(csv.reader(io.StringIO(text, newline="")))
        return self._headers[file]

    def header(self, stage: int) -> list[str] | None:
        """The columns of a stage; None where it has not begun."""
        return self.start(stage, ()) if _file(stage) in self.logs else None

    def lacks(self, stage: int, column: str) -> bool:
        """Whether a stage has begun without a column."""
        return _file(stage) in self.logs and column not in self.start(stage, ())

    def append(
        self,
        stage: int,
        row: Row,
        data: Mapping[str, Data] | None = None,
        spent: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Add a row, as far as the header has columns for it; what is None is an empty cell.

        Args:
            stage: The index of its stage.
            row: By column.
            data: What metrics gave as tensors with it, by display name.
            spent: The seconds of each phase since the row before. They are left out in a session
                whose first rows had none, as those of earlier versions.
        """
        file = data_file(stage, step_of(row))
        if data and file not in self.logs:
            self.logs.add(file, encoded(data))
        self._append(_file(stage), row)
        when = {"epoch": row["epoch"], "step": row["step"], "time": time.time()}
        phases = {phase: round(seconds, 6) for phase, seconds in spent.items()}
        self._append(TIMES, {"stage": stage, **when, **phases})

    def append_step(self, stage: int, row: Row) -> None:
        """Add one of the rows that ``log`` asks for, likewise."""
        self._append(_steps_file(stage), row)

    def add_picture(self, stage: int, step: int, name: str, image: bytes) -> None:
        """Add a picture of a step, which is a PNG file."""
        line = {"stage": stage, "step": step, "time": time.time(), "name": name}
        line["png"] = b64encode(image).decode()
        self.logs.add(PICTURES, json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def pictures_after(self, seen: int) -> tuple[list[StoredPicture], int]:
        """The pictures that follow after some bytes of their file; as :meth:`rows_after`."""
        text = self.logs.text(PICTURES)
        try:
            return parsed_pictures(text[seen:]), len(text)
        except InvalidFile as error:
            raise SessionError(f"{PICTURES} {error}") from None

    def add_samples(self, noted: NotedSamples) -> None:
        """Note that there are samples."""
        self.logs.add(SAMPLES, noted.line())

    def samples_after(self, seen: int) -> tuple[list[NotedSamples], int]:
        """The samples that follow after some bytes of their file; as :meth:`rows_after`."""
        text = self.logs.text(SAMPLES)
        try:
            return parsed_samples(text[seen:]), len(text)
        except InvalidFile as error:
            raise SessionError(f"{SAMPLES} {error}") from None

    def _append(self, file: str, row: Row) -> None:
        columns = self._start(file, list(row))
        self.logs.add(file, _line([row.get(column) for column in columns]))

    def rows(self, stage: int) -> list[Row]:
        """The rows of a stage; none where it has not begun.

        Raises:
            SessionError: What is stored is no history.
        """
        return self._rows(_file(stage), ALWAYS)

    def step_rows(self, stage: int) -> list[Row]:
        """Those that ``log`` asked for in a stage; ``time`` is in seconds since 1970, UTC.

        Raises:
            SessionError: What is stored is no history.
        """
        return self._rows(_steps_file(stage), ALWAYS_IN_STEPS)

    def rows_after(self, stage: int, seen: int) -> tuple[list[Row], int]:
        """The rows of a stage that follow after some bytes of its file.

        Args:
            stage: The index of the stage.
            seen: What the last call gave as the second value; 0 for all rows.

        Returns:
            The rows, and how many bytes the file has.

        Raises:
            SessionError: What is stored is no history.
        """
        return self._rows_after(_file(stage), ALWAYS, seen)

    def step_rows_after(self, stage: int, seen: int) -> tuple[list[Row], int]:
        """The same of those that ``log`` asked for."""
        return self._rows_after(_steps_file(stage), ALWAYS_IN_STEPS, seen)

    def times_after(self, seen: int) -> tuple[list[Row], int]:
        """The same of when rows were added: ``stage``, ``epoch``, ``step``, ``time``, phases."""
        return self._rows_after(TIMES, ALWAYS_IN_TIMES, seen)

    def times(self, stage: int) -> dict[int, float]:
        """When each row of a stage was added, in seconds since 1970, by its step.

        Rows of earlier versions have no time.

        Raises:
            SessionError: What is stored is no history.
        """
        found = self._rows(TIMES, ALWAYS_IN_TIMES)
        times = ((step_of(row), row["time"]) for row in found if row["stage"] == stage)
        return {step: float(when) for step, when in times if when is not None}

    def _rows(self, file: str, always: Collection[str]) -> list[Row]:
        return self._rows_after(file, always, 0)[0]

    def _rows_after(self, file: str, always: Collection[str], seen: int) -> tuple[list[Row], int]:
        text = self.logs.text(file)
        if seen == len(text):
            return [], seen
        header = _line(self._start(file, ())) if seen else b""
        try:
            return parsed_rows(header + text[seen:], always), len(text)
        except InvalidFile as error:
            raise SessionError(f"{file} {error}") from None

    def data_of(self, stage: int, step: int) -> dict[str, Data]:
        """What metrics gave as tensors with one row, by display name.

        Raises:
            SessionError: What is stored is no data.
        """
        file = data_file(stage, step)
        if file not in self.logs:
            return {}
        try:
            return decoded(self.logs.text(file))
        except InvalidFile as error:
            raise SessionError(f"{file} {error}") from None

    def data(self, name: str, stages: Sequence[str | int]) -> list[RowData]:
        """What a metric gave as tensors, row by row.

        Args:
            name: Its display name, or ``NAME/KEY``.
            stages: What each stage is called.

        Raises:
            SessionError: What is stored is no data; or no row has any under that name.
        """
        found, known = [], set[str]()
        for index, label in enumerate(stages):
            for row in self.rows(index):
                data = self.data_of(index, step_of(row))
                known |= data.keys()
                if name in data:
                    found.append(RowData(label, int(row["epoch"] or 0), step_of(row), data[name]))
        if not found:
            raise SessionError(f'no row has data of "{name}"{near(name, sorted(known))}')
        return found

    def table(self, stages: Sequence[str | int]) -> pd.DataFrame:
        """All rows as one table, with a column ``stage``.

        Args:
            stages: What that column holds for the rows of each stage.
        """
        return _table(map(self.rows, range(len(stages))), stages, "seconds")

    def step_table(self, stages: Sequence[str | int]) -> pd.DataFrame:
        """The same of all rows that ``log`` asked for."""
        return _table(map(self.step_rows, range(len(stages))), stages, "time")


def _table(found: Iterable[list[Row]], stages: Sequence[str | int], last: str) -> pd.DataFrame:
    import pandas as pd

    labels = zip(stages, found, strict=True)
    rows = [{"stage": label, **row} for label, its_rows in labels for row in its_rows]
    table = pd.DataFrame(rows, columns=None if rows else ["stage", "epoch", "step", last])
    empty = [name for name in table if rows and table[name].isna().all()]
    table = table.astype(dict.fromkeys(empty, float))
    return table[[c for c in table if c != last] + [last]]


def _file(stage: int) -> str:
    """The file of a stage, by its path below the session folder."""
    return f"{METRICS}/{stage}.csv"


def _steps_file(stage: int) -> str:
    return f"{METRICS}/{STEPS}{stage}.csv"


ALWAYS = {"epoch", "step", "seconds"}
"""The columns of every stage."""

ALWAYS_IN_STEPS = {"epoch", "step", "time"}
ALWAYS_IN_TIMES = {"stage", "epoch", "step", "time"}


def parsed_rows(text: bytes, always: Collection[str] = ALWAYS) -> list[Row]:
    """The rows of a file; none where it has not begun.

    Args:
        text: What the file holds.
        always: The columns that such a file has in any case.

    Raises:
        InvalidFile: The text is no history.
    """
    if not text:
        return []
    if not text.endswith(b"\n"):
        raise InvalidFile("is not a history: its last line has no end")
    try:
        lines = csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8", newline=""))
        header = next(lines)
        rows = [dict(zip(header, map(_number, line), strict=True)) for line in lines]
    except (ValueError, csv.Error) as error:
        raise InvalidFile(f"is not a history: {error}") from None
    if len(set(header)) < len(header) or not set(header) >= set(always):
        raise InvalidFile("is not a history: its first line does not name the columns")
    if any(type(row[key]) is not int for row in rows for key in ("epoch", "step")):
        raise InvalidFile("is not a history: a row has no epoch and step")
    return rows


def parsed_pictures(text: bytes) -> list[StoredPicture]:
    """The pictures of debug pipelines, or of the end of their file.

    Raises:
        InvalidFile: The text is something else.
    """
    try:
        return [
            StoredPicture(str(p["name"]), int(p["step"]), float(p["time"]), p["png"].encode())
            for p in map(json.loads, text.splitlines())
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidFile(f"holds no pictures ({type(error).__name__}: {error})") from None


def _number(text: str) -> int | float | None:
    """The number in a cell; None in an empty one, which says that nothing was measured."""
    if not text:
        return None
    return int(text) if text.isdecimal() else float(text)


def _line(values: Sequence[object]) -> bytes:
    """One line of CSV; floats as ``repr`` writes them, so that reading gives the same bits."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
