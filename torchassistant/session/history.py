"""The history of a session: one CSV file a stage."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from torchassistant.errors import SessionError, shown_path
from torchassistant.session.storage import append_text, write_text
from torchassistant.training import Row

if TYPE_CHECKING:
    import pandas as pd

_WHOLE = ("epoch", "step")


class History:
    """The rows of every stage, in files of one folder.

    Args:
        folder: Holds ``0.csv``, ``1.csv``, …
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rows(self, stage: int) -> list[Row]:
        """The rows of a stage; none where it has no file yet.

        Raises:
            SessionError: The file is no history.
        """
        path = self._path(stage)
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            try:
                return [
                    {k: int(v) if k in _WHOLE else float(v) for k, v in row.items()}
                    for row in csv.DictReader(file)
                ]
            except (TypeError, ValueError, csv.Error) as error:
                raise SessionError(f"{shown_path(path)} is no history: {error}") from None

    def append(self, stage: int, row: Row) -> None:
        """Add the row of an epoch; the first row of a stage decides the header."""
        path = self._path(stage)
        if path.exists():
            append_text(path, _line(row.values()))
        else:
            write_text(path, _line(row) + _line(row.values()))

    def cut(self, stage: int, epochs: int) -> None:
        """Drop what was written after an epoch, and the files of stages after this one."""
        for path in self.folder.glob("*.csv"):
            if path.stem.isdigit() and int(path.stem) > stage:
                path.unlink()
        for index in range(stage + 1):
            rows = self.rows(index)
            kept = [row for row in rows if row["epoch"] <= epochs]
            if len(kept) == len(rows):
                continue
            if kept:
                lines = [_line(kept[0]), *(_line(row.values()) for row in kept)]
                write_text(self._path(index), "".join(lines))
            else:
                self._path(index).unlink()

    def table(self, stages: int) -> pd.DataFrame:
        """All rows as one table, with a column ``stage``."""
        import pandas as pd

        rows = [{"stage": stage, **row} for stage in range(stages) for row in self.rows(stage)]
        table = pd.DataFrame(rows, columns=None if rows else ["stage", "epoch", "step", "seconds"])
        return table[[c for c in table if c != "seconds"] + ["seconds"]]

    def _path(self, stage: int) -> Path:
        return self.folder / f"{stage}.csv"


def _line(values: object) -> str:
    """One line of CSV; floats as ``repr`` writes them, so that reading gives the same bits."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(list(values))  # type: ignore[call-overload]
    return text.getvalue()
