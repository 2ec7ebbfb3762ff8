"""What came of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torchassistant.export.measuring import Measured
from torchassistant.export.verification import Comparison

FILES = {"onnx": "model.onnx", "pt2": "model.pt2", "safetensors": "model.safetensors"}
"""The file of each format."""


@dataclass(slots=True)
class Exported:
    """What was exported.

    Args:
        folder: Holds it.
        notes: What there is to know, a sentence each.
        comparison: Of the file with torch; None where it holds weights only.
        measured: The metrics by the file and by torch; None: they were not asked for.
    """

    folder: Path
    notes: list[str] = field(default_factory=list)
    comparison: Comparison | None = None
    measured: Measured | None = None

    @property
    def lines(self) -> list[str]:
        """What there is to say, line by line."""
        compared = [] if self.comparison is None else [str(self.comparison)]
        return [*self.notes, *compared, *([] if self.measured is None else self.measured.lines)]
