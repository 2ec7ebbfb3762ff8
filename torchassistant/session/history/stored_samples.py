"""Samples that callbacks of the class Samples have kept: which there are, and what they show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torchassistant.callbacks.samples import FOLDER, LINES, PNG
from torchassistant.errors import DataError
from torchassistant.files import InvalidFile, open_regular

_LONGEST = 1 << 28
"""Bytes of a file that are read at most."""


class NotedSamples(NamedTuple):
    """What the history knows of the samples of an epoch.

    Args:
        name: Of the callback.
        stage: The index of the stage.
        epoch: Over all stages, from 1.
        step: Iterations over all stages.
        folder: The name of their folder, in that of the callback.
        images: The columns that are images.
    """

    name: str
    stage: int
    epoch: int
    step: int
    folder: str
    images: list[str]

    def line(self) -> bytes:
        """As it stands in the history."""
        return json.dumps(self._asdict(), ensure_ascii=False).encode() + b"\n"


def parsed_samples(text: bytes) -> list[NotedSamples]:
    """What the history knows of samples, or the end of that.

    Raises:
        InvalidFile: The text is something else.
    """
    try:
        found = [NotedSamples(**line) for line in map(json.loads, text.splitlines())]
        for one in found:
            numbers = (one.stage, one.epoch, one.step)
            texts = (one.name, one.folder, *one.images)
            if any(type(n) is not int for n in numbers) or any(type(t) is not str for t in texts):
                raise TypeError("a number or a name is none")
            if any(Path(p).name != p or p in ("", "..") for p in (one.name, one.folder)):
                raise ValueError("a name is none of a folder")
    except (ValueError, TypeError) as error:
        raise InvalidFile(f"holds no samples ({type(error).__name__}: {error})") from None
    return found


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """The samples of an epoch.

    Args:
        name: Of the callback that has kept them.
        stage: The name of the stage, or its index where it has none.
        epoch: Over all stages, from 1.
        step: Iterations over all stages.
        folder: Where they are: ``samples.jsonl``, and PNG files.
        images: The columns that are images.
    """

    name: str
    stage: str | int
    epoch: int
    step: int
    folder: Path
    images: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """The samples: of each the columns, with ``index`` or ``batch``; images as their paths.

        Raises:
            DataError: They are not there any more, or are something else.
        """
        try:
            with open_regular(self.folder / LINES) as file:
                lines = [json.loads(line) for line in file.read(_LONGEST).splitlines()]
            return [self._row(line) for line in lines]
        except (OSError, InvalidFile, ValueError, AttributeError) as error:
            raise DataError(f"{self.folder} has no samples: {error}") from None

    def _row(self, line: dict[str, Any]) -> dict[str, Any]:
        row = dict(line)
        for name in self.images:
            value = row.get(name)
            if isinstance(value, dict) and [*value] == [PNG]:
                row[name] = self.folder / Path(value[PNG]).name
        return row

    def images_of(self, column: str) -> Iterator[Path]:
        """The files of a column."""
        for row in self.rows():
            if isinstance(row.get(column), Path):
                yield row[column]


def stored_samples(noted: NotedSamples, session: Path, stage: str | int) -> StoredSamples:
    """The samples that the history knows of.

    Args:
        noted: What it knows.
        session: The session folder.
        stage: The name of the stage, or its index.
    """
    folder = session.joinpath(*FOLDER, noted.name, noted.folder)
    return StoredSamples(noted.name, stage, noted.epoch, noted.step, folder, noted.images)
