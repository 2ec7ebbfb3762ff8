"""What a sweep has found."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torchassistant.config import ReadSweep
from torchassistant.sweeps.folder import SweepFolder
from torchassistant.sweeps.study import FAILURE, ROW, SECONDS, Study

Condition = Literal["complete", "pruned", "failed", "running", "waiting"]
_CONDITIONS: dict[str, Condition] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial.

    Args:
        number: From 0.
        condition: What became of it.
        parameters: Its values, by path.
        value: What it gave; of a pruned one what it had last, of others None.
        reported: How often it was validated.
        epoch: In which epoch the value was measured.
        seconds: What its training has taken, interruptions left out.
        failure: ``kind`` and ``message`` of what ended one that failed.
        session: Its folder.
    """

    number: int
    condition: Condition
    parameters: Mapping[str, Any]
    value: float | None
    reported: int
    epoch: int | None
    seconds: float | None
    failure: Mapping[str, str] | None
    session: Path


@dataclass(frozen=True, slots=True)
class Fold:
    """What trials gave that differ in their folds only.

    Args:
        parameters: What they have in common.
        trials: Their numbers.
        mean: Of their values.
        deviation: The standard deviation of these (n - 1); None for a single one.
    """

    parameters: Mapping[str, Any]
    trials: Sequence[int]
    mean: float
    deviation: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep has found.

    Args:
        folder: Of the sweep.
        trials: All that were begun, by number.
        folds: Where the fold of a split is varied: means over folds, the best first.
        best: The number of the best trial; over folds, that of the best of the best mean.
        seed: Of the sweep.
        report: The file with the report; None where there is none.
    """

    folder: Path
    trials: Sequence[Trial]
    folds: Sequence[Fold]
    best: int | None
    seed: int
    report: Path | None = None


def outcome_of(read: ReadSweep, study: Study, folder: SweepFolder) -> Outcome:
    """What a sweep has found so far."""
    every = [_trial(study, one, folder) for one in study.trials()]
    trials = [one for one in every if one.condition != "waiting"]
    complete = [one for one in trials if one.condition == "complete" and one.value is not None]
    sign = 1 if read.spec.mode == "min" else -1
    folds = sorted(_folds(complete, read.folds), key=lambda fold: sign * fold.mean)
    most = max((len(fold.trials) for fold in folds), default=0)
    # A mean over fewer folds is of other data.
    folds.sort(key=lambda fold: len(fold.trials) < most)
    candidates = [one for one in complete if not folds or one.number in folds[0].trials]
    best = min(candidates, key=lambda one: sign * (one.value or 0.0), default=None)
    number = None if best is None else best.number
    return Outcome(folder.path, trials, folds, number, study.seed)


def _trial(study: Study, one: Any, folder: SweepFolder) -> Trial:
    condition = _CONDITIONS[one.state.name]
    attrs = one.user_attrs
    value = one.value if condition in ("complete", "pruned") else None
    if value is not None and not math.isfinite(value):
        value = None
    return Trial(
        one.number,
        condition,
        study.values(one),
        value,
        len(one.intermediate_values),
        attrs.get(ROW),
        attrs.get(SECONDS),
        attrs.get(FAILURE),
        folder.session(one.number),
    )


def _folds(trials: Sequence[Trial], names: Sequence[str]) -> list[Fold]:
    if not names:
        return []
    groups: list[tuple[dict[str, Any], list[Trial]]] = []
    for trial in trials:
        rest = {name: v for name, v in trial.parameters.items() if name not in names}
        for known, members in groups:
            if known == rest:
                members.append(trial)
                break
        else:
            groups.append((rest, [trial]))
    folds = []
    for rest, members in groups:
        values = [one.value for one in members if one.value is not None]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        numbers = [one.number for one in members]
        folds.append(Fold(rest, numbers, statistics.fmean(values), deviation))
    return folds
