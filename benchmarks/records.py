"""What is kept of the measuring: one JSON file a workload."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

FOLDER = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one workload.

    Args:
        workload: Its name.
        about: What it is.
        day: When it was measured, as ``2026-01-31``.
        circumstances: The machine, the versions, the threads.
        figures: In the order of the table.
    """

    workload: str
    about: str
    day: str
    circumstances: dict[str, str | int]
    figures: list[Figure]

    @property
    def differs(self) -> list[str]:
        """The figures for which the trained weights were not the same."""
        return [figure.what for figure in self.figures if figure.identical is False]

    def write(self, folder: Path) -> None:
        """Keep it, in the place of an earlier one of this workload."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / f"{self.workload}.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Result:
        """What :meth:`write` wrote."""
        return cls(**{**data, "figures": [Figure.of_data(one) for one in data["figures"]]})


def today() -> str:
    """The date, as it is kept."""
    return date.today().isoformat()


def read_all(folder: Path = FOLDER) -> list[Result]:
    """Every result that is kept, by name."""
    files = sorted(folder.glob("*.json"))
    return [Result.of_data(json.loads(path.read_text(encoding="utf-8"))) for path in files]
