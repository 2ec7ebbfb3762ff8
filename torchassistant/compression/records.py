"""What is known of each candidate, in a folder that a kill leaves whole at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torchassistant.errors import SessionError, shown_path
from torchassistant.session import (
    as_json,
    begun_work,
    expect_same_work,
    replace_file,
    stored_json,
)
from torchassistant.whole_files import make_folder, naming

_SEARCH, _RESULTS = "search.json", "results.json"
_CANDIDATES, _RESULT, _EXPORT = "candidates", "result", "export"


@dataclass(frozen=True, slots=True)
class Record:
    """A candidate that was tried.

    Args:
        number: 0 is the model as it was.
        name: What was done, for people.
        base: The candidate that it was made of; None for number 0.
        method: What was done, as data.
        reason: Why it could not be built or measured; empty where it was.
        too_far: Whether that is so because of its share, and a larger one may be possible.
        metric: The monitor.
        worse_by: By how much it is worse than that of number 0; negative where it is better.
        holds: Whether that is within delta.
        size: Bytes of the weights of the models, each once.
        file: Bytes of the files that hold them.
        parameters: How many numbers they are.
        latency: Milliseconds of a forward pass of the models, by batch size.
        seconds: What it took.
    """

    number: int
    name: str
    base: int | None
    method: Mapping[str, Any]
    reason: str = ""
    too_far: bool = False
    metric: float | None = None
    worse_by: float | None = None
    holds: bool = False
    size: int = 0
    file: int = 0
    parameters: int = 0
    latency: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0


class SearchFolder:
    """The folder of a search.

    Args:
        path: The folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.candidates = self.path / _CANDIDATES
        self.result = self.path / _RESULT

    def begin(self, request: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        """Write down what is searched for, or see that this is what was.

        Args:
            request: What decides which candidates are tried.
            source: What they are made of.

        Raises:
            SessionError: The folder holds something else, or another search.
            NotWritten: It cannot be made.
        """
        keys = {"format": int, "request": dict, "source": dict}
        known = begun_work(self.path / _SEARCH, "search", keys)
        if known is None:
            with naming(self.path):
                make_folder(self.candidates)
                asked = {"format": 1, "request": request, "source": source}
                replace_file(self.path / _SEARCH, as_json(asked))
            return
        for part, now in (("request", request), ("source", source)):
            expect_same_work(self.path, known[part], now, "-o FOLDER begins another search")

    def records(self) -> list[Record]:
        """The candidates that were tried, in order."""
        found: list[Record] = []
        while (data := stored_json(self._record(len(found)))) is not None:
            try:
                found.append(Record(**data))
            except TypeError:
                raise SessionError(f"{shown_path(self._record(len(found)))} is damaged") from None
        return found

    def add(self, record: Record) -> None:
        """Write down a candidate, whole or not at all."""
        replace_file(self._record(record.number), as_json(asdict(record)))

    @property
    def trial_export(self) -> Path:
        """Where a candidate is exported, to see whether it can be."""
        return self.path / _EXPORT

    def session(self, number: int) -> Path:
        """Where the session of a candidate is, with its weights."""
        return self.candidates / f"{number:04}"

    def training(self, number: int) -> Path:
        """Where the session is in which a candidate is trained."""
        return self.candidates / f"{number:04}-training"

    def write_results(self, data: Any) -> None:
        """Replace what was found last."""
        replace_file(self.path / _RESULTS, as_json(data))

    def results(self) -> dict[str, Any]:
        """What was found last; nothing where nothing was yet."""
        found: dict[str, Any] | None = stored_json(self.path / _RESULTS)
        return {} if found is None else found

    def clear(self, records: Iterable[Record]) -> None:
        """Remove what nobody needs any more of candidates that are written down."""
        for record in records:
            shutil.rmtree(self.training(record.number), ignore_errors=True)
            if not record.holds:
                shutil.rmtree(self.session(record.number), ignore_errors=True)

    def _record(self, number: int) -> Path:
        return self.candidates / f"{number:04}.json"
