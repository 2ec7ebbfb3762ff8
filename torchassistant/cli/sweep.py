"""The command that trains a config many times."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE, USER_CODE
from torchassistant.cli.layout import as_json, counted, finite
from torchassistant.cli.signals import stopping_after_iteration
from torchassistant.cli.streams import expect_output, say
from torchassistant.config import ReadSweep
from torchassistant.errors import in_one_line, shown_path
from torchassistant.sweeps import Outcome, Trial
from torchassistant.sweeps import sweep as run_sweep


def sweep(arguments: Namespace, read: ReadSweep) -> int:
    """Train many times, and tell what was found."""
    expect_output()

    def tell(trial: Trial, outcome: Outcome) -> None:
        say(f"trial {trial.number}: {_in_short(trial, outcome)}")

    with stopping_after_iteration() as stop:
        found = run_sweep(
            read,
            trials=arguments.trials,
            jobs=arguments.jobs,
            storage=arguments.storage,
            stop=stop,
            tell=tell,
            **allowed(arguments),
        )
    if arguments.json:
        print(as_json(finite(_as_data(found))))
    else:
        print("\n".join(table(found)))
        for line in _conclusion(read, found):
            say(line, sys.stdout)
    return DONE if found.best is not None or not found.trials else USER_CODE


def _in_short(trial: Trial, outcome: Outcome) -> str:
    values = _values(trial.parameters)
    if trial.failure is not None:
        return f"failed: {in_one_line(trial.failure['message'])} ({values})"
    value = "no value" if trial.value is None else f"{trial.value:.6g}"
    if trial.condition == "pruned":
        return f"pruned at {value} ({values})"
    best = "" if outcome.best is None else f", best so far: trial {outcome.best}"
    return f"{value} ({values}){best}"


def _values(parameters: Mapping[str, Any]) -> str:
    return in_one_line(", ".join(f"{n} = {_value(v)}" for n, v in parameters.items()))


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def table(found: Outcome) -> list[str]:
    """The trials, as lines of one width for each column."""
    names = list(dict.fromkeys(name for trial in found.trials for name in trial.parameters))
    rows = [["", "trial", "value", *map(in_one_line, names), "result"]]
    for trial in found.trials:
        rows.append(
            [
                "*" if trial.number == found.best else "",
                str(trial.number),
                "-" if trial.value is None else f"{trial.value:.6g}",
                *(in_one_line(_value(trial.parameters.get(name))) for name in names),
                _result(trial),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _result(trial: Trial) -> str:
    if trial.failure is None:
        return trial.condition
    return in_one_line(f"failed: {trial.failure['kind']}: {trial.failure['message']}")


def _conclusion(read: ReadSweep, found: Outcome) -> list[str]:
    done = [trial for trial in found.trials if trial.condition == "complete"]
    lines = [
        f"{counted(len(found.trials), 'trial')}, {len(done)} complete; seed {found.seed}; "
        f"{shown_path(found.folder)}"
    ]
    for fold in found.folds:
        spread = "" if fold.deviation is None else f" ± {fold.deviation:.3g}"
        what = _values(fold.parameters) or "all"
        lines.append(f"{what}: {fold.mean:.6g}{spread} over {counted(len(fold.trials), 'fold')}")
    for trial in found.trials:
        if trial.number == found.best:
            lines.append(
                f'the best by "{in_one_line(read.spec.monitor)}" is trial {trial.number}: '
                f"{trial.value:.6g}; its session is {shown_path(trial.session)}"
            )
    if found.best is None and found.trials:
        lines.append("no trial is complete")
    if found.report is not None:
        lines.append(f"the report is {shown_path(found.report)}")
    return lines


def _as_data(found: Outcome) -> dict[str, Any]:
    best = [trial for trial in found.trials if trial.number == found.best]
    return {
        "folder": str(found.folder),
        "seed": found.seed,
        "trials": [{**asdict(one), "session": str(one.session)} for one in found.trials],
        "folds": [asdict(fold) for fold in found.folds],
        "best": found.best,
        "session": str(best[0].session) if best else None,
        "report": None if found.report is None else str(found.report),
    }
