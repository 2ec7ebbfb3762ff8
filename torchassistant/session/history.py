"""The history of a session: one CSV file a stage, only ever added to.

What counts is held in memory, and stored with every checkpoint: the files are written after it,
and cut back to it, or made again, where a run goes on from an earlier state.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torchassistant.errors import SessionError, shown_path
from torchassistant.files import Unsound
from torchassistant.session.storage import begins_with, continue_file, refuse_links, sync_file
from torchassistant.training import Row

if TYPE_CHECKING:
    import pandas as pd

METRICS = "metrics"


class History:
    """The rows of every stage.

    Args:
        session: The session folder; ``metrics/0.csv``, ``metrics/1.csv``, … are in it.
        texts: What the files of the stages hold, by stage.
    """

    def __init__(self, session: Path, texts: Mapping[int, bytes] | None = None) -> None:
        self.session = session
        self.texts = {stage: bytearray(text) for stage, text in (texts or {}).items()}
        self._headers: dict[int, list[str]] = {}
        self._written: dict[int, int] = {}

    def start(self, stage: int, header: Sequence[str]) -> list[str]:
        """The header of a stage, which is fixed when the stage starts."""
        if stage not in self.texts:
            self.texts[stage] = bytearray(_line(header))
        if stage not in self._headers:
            text = self.texts[stage].decode()
            self._headers[stage] = next(csv.reader(io.StringIO(text, newline="")))
        return self._headers[stage]

    def lacks(self, stage: int, column: str) -> bool:
        """Whether a stage has begun without a column."""
        return stage in self.texts and column not in self.start(stage, ())

    def append(self, stage: int, row: Row) -> None:
        """Add the row of an epoch, as far as the header has columns for it."""
        columns = self.start(stage, list(row))
        self.texts[stage] += _line([row.get(column, math.nan) for column in columns])

    def rows(self, stage: int) -> list[Row]:
        """The rows of a stage; none where it has not begun.

        Raises:
            SessionError: What is stored is no history.
        """
        try:
            return parsed_rows(bytes(self.texts.get(stage, b"")))
        except Unsound as error:
            raise SessionError(f"{shown_path(self.path(stage))} {error}") from None

    def table(self, stages: int) -> pd.DataFrame:
        """All rows as one table, with a column ``stage``."""
        import pandas as pd

        rows = [{"stage": stage, **row} for stage in range(stages) for row in self.rows(stage)]
        table = pd.DataFrame(rows, columns=None if rows else ["stage", "epoch", "step", "seconds"])
        return table[[c for c in table if c != "seconds"] + ["seconds"]]

    def contents(self) -> dict[str, bytes]:
        """What each file holds, by its path below the session folder."""
        return {f"{METRICS}/{stage}.csv": bytes(text) for stage, text in self.texts.items()}

    def write(self, contents: Mapping[str, bytes], sync: bool) -> None:
        """Bring the files to this state, which holds all that was written before.

        Args:
            contents: What :meth:`contents` gave.
            sync: Whether to wait until all of it is on the disk.

        Raises:
            OSError: A file could not be written; the next time it is.
        """
        refuse_links(self.session, (METRICS,))
        for name, text in contents.items():
            path, stage = self.session / name, int(Path(name).stem)
            done = self._written.get(stage, 0)
            if done < len(text) or (done == 0 and not path.exists()):
                continue_file(path, done, text[done:], sync)
                self._written[stage] = len(text)
            elif sync:
                sync_file(path)

    def repair(self) -> None:
        """Make the files what is in memory: cut off, written again, taken away."""
        refuse_links(self.session, (METRICS,))
        self._written.clear()
        (self.session / METRICS).mkdir(exist_ok=True)
        for path in (self.session / METRICS).glob("*.csv"):
            number = path.stem
            is_ours = number.isascii() and number.isdecimal() and not path.is_dir()
            if is_ours and int(number) not in self.texts:
                path.unlink()
        for stage, text in self.texts.items():
            path = self.path(stage)
            if not begins_with(path, text):
                continue_file(path, 0, bytes(text), sync=True)
            elif path.stat().st_size > len(text):
                continue_file(path, len(text), b"", sync=True)
            self._written[stage] = len(text)

    def damage(self) -> list[str]:
        """A sentence for each file that lacks something of what is in memory."""
        found = []
        for stage, text in self.texts.items():
            path = self.path(stage)
            begins = begins_with(path, text)
            if begins is None:
                found.append(f"{shown_path(path)} is missing; the checkpoint has it")
            elif not begins:
                found.append(f"{shown_path(path)} is not as it was written; the checkpoint has it")
        return found

    def path(self, stage: int) -> Path:
        """The file of a stage."""
        return self.session / METRICS / f"{stage}.csv"


def parsed_rows(text: bytes) -> list[Row]:
    """The rows of a stage; none where there is not even a header.

    Raises:
        Unsound: The text is no history.
    """
    try:
        header, *lines = list(csv.reader(io.StringIO(text.decode(), newline=""))) or [[]]
        rows = [dict(zip(header, map(_number, line), strict=True)) for line in lines]
    except (ValueError, csv.Error) as error:
        raise Unsound(f"is no history: {error}") from None
    if any(type(row.get(key)) is not int for row in rows for key in ("epoch", "step")):
        raise Unsound("is no history: a row has no epoch and step")
    return rows


def _number(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def _line(values: Sequence[object]) -> bytes:
    """One line of CSV; floats as ``repr`` writes them, so that reading gives the same bits."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
