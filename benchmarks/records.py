"""What is kept of the measuring: one JSON file a workload."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

FOLDER = Path(__file__).with_name("results")


MACHINE = ("processor", "cores", "threads", "GPU")
"""Circumstances that are those of the machine: figures of another are not compared."""


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

    @property
    def worse(self) -> list[str]:
        """The figures that got worse than they were, by more than the noise."""
        return [figure.what for figure in self.figures if figure.is_worse]

    def after(self, earlier: Result | None) -> Result:
        """The same beside what was kept before, where that was measured on such a machine."""
        if earlier is None or any(
            earlier.circumstances.get(key) != self.circumstances.get(key) for key in MACHINE
        ):
            return self
        known = {(one.what, one.against): one.spread for one in earlier.figures}
        figures = [replace(f, before=known.get((f.what, f.against))) for f in self.figures]
        return replace(self, figures=figures)

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


def read_one(name: str, folder: Path = FOLDER) -> Result | None:
    """The result that is kept of a workload; None where there is none."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    return Result.of_data(json.loads(path.read_text(encoding="utf-8")))


def read_all(folder: Path = FOLDER) -> list[Result]:
    """Every result that is kept, by name."""
    files = sorted(folder.glob("*.json"))
    return [Result.of_data(json.loads(path.read_text(encoding="utf-8"))) for path in files]
