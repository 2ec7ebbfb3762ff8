"""From which saved states later stages start, and how long those have to stay."""

from __future__ import annotations

import math
from typing import NamedTuple

from torchassistant.config import Spec, StartFromSpec
from torchassistant.errors import SessionError
from torchassistant.session.checkpoints.retention import (
    Best,
    Sought,
    bests_of,
    scores_of,
    stored_with,
)
from torchassistant.session.checkpoints.storage import CheckpointStorage
from torchassistant.session.history.history import History
from torchassistant.training import Row, step_of


class _Start(NamedTuple):
    """Where one stage starts.

    Args:
        stage: The index of the stage that starts.
        source: That of the stage from which it starts.
        spec: What the config says of it.
    """

    stage: int
    source: int
    spec: StartFromSpec


class StageStarts:
    """Finds the states that stages start from, by the history: by nothing that a cut could change.

    Args:
        spec: The config.
        history: The rows so far.
    """

    def __init__(self, spec: Spec, history: History) -> None:
        self.spec = spec
        self.history = history
        self.bests = bests_of(spec.checkpoints)
        self.starts = [
            _Start(index, spec.stage_index(stage.start_from.stage), stage.start_from)
            for index, stage in enumerate(spec.train.stages)
            if stage.start_from is not None
        ]

    def is_sought(self, stage: int, row: Row) -> bool:
        """Whether this row of a stage, its last, is the best so far that another starts from."""
        own = (s for s in self.starts if s.source == stage and s.spec.checkpoint == "best")
        rows = (self._row(start) for start in own)
        return any(best is not None and best["step"] == row["step"] for best in rows)

    def sought(self, current: int) -> list[Sought]:
        """The states that have to stay.

        Args:
            current: The index of the stage at hand.
        """
        found = []
        for start in self.starts:
            row = self._row(start)
            if row is not None:
                has_ended = current >= start.stage  # the stage before the one that starts
                rows = self.history.rows(start.stage - 1)
                until = step_of(rows[-1]) if has_ended else math.inf
                found.append(Sought(row, until))
        return found

    def checkpoint_for(self, stage: int, storage: CheckpointStorage) -> str:
        """The name of the checkpoint that a stage starts from.

        Raises:
            SessionError: No state was measured, or it was not saved.
        """
        (start,) = [start for start in self.starts if start.stage == stage]
        row = self._row(start)
        title, source = self.spec.stage_title(stage), self.spec.stage_title(start.source)
        which = f"{title} starts from the {start.spec.checkpoint} state of {source}"
        if row is None:
            best = self._best(start)
            monitor = "" if best is None else f', and no row of it has a "{best.monitor}"'
            raise SessionError(f"{which}{monitor}")
        name = stored_with(row, storage)
        if name is None:
            raise SessionError(f"{which}, that of epoch {row['epoch']}, which is not saved")
        return name

    def _row(self, start: _Start) -> Row | None:
        """The row of the state that a stage would start from, as far as the history goes."""
        rows = self.history.rows(start.source)
        if start.spec.checkpoint == "last":
            return rows[-1] if len(rows) else None
        best = self._best(start)
        if best is None:
            return None
        ranked = [row for row in rows if math.isfinite(best.rank(scores_of(row)))]
        return min(ranked, key=lambda row: best.rank(row), default=None)

    def _best(self, start: _Start) -> Best | None:
        """By what a stage knows the best state; by the first monitor, if it names none."""
        own = (best for best in self.bests if start.spec.monitor in (None, best.monitor))
        return next(own, None)
