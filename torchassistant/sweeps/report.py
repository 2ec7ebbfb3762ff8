"""The report of a sweep: one HTML file with Optuna's own charts, which needs no network."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torchassistant.config import ReadSweep
from torchassistant.errors import in_one_line
from torchassistant.session import replace_file
from torchassistant.sweeps.results import Outcome, Trial
from torchassistant.sweeps.study import Study

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: left; }
th { border-bottom: 1px solid #888; } tr.best { font-weight: bold; } section { margin: 2em 0; }
"""

_FEWEST = 2
"""Complete trials, from which on charts say something."""


def can_be_drawn() -> bool:
    """Whether plotly is installed, which draws the charts; it is not imported."""
    return find_spec("plotly") is not None


def write_report(path: Path, read: ReadSweep, study: Study, outcome: Outcome) -> None:
    """Write the report of what a sweep has found so far.

    Args:
        path: The file; an earlier one is replaced.
        read: The sweep.
        study: What its charts are made of.
        outcome: What its tables are made of.
    """
    from plotly.offline import get_plotlyjs

    title = escape(in_one_line(f"{outcome.folder.name}: {read.spec.monitor}"))
    sections = "".join(
        f"<section><h2>{escape(heading)}</h2>{content}</section>\n"
        for heading, content in _sections(read, study, outcome)
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>\n"
        f"<body><h1>{title}</h1>\n{sections}</body></html>\n"
    )
    replace_file(path, page.encode())


def _sections(read: ReadSweep, study: Study, outcome: Outcome) -> Iterator[tuple[str, str]]:
    from optuna import visualization

    yield "Trials", _trials(outcome)
    if outcome.folds:
        yield "Means over folds", _folds(outcome)
    name = in_one_line(read.spec.monitor)
    complete = sum(trial.condition == "complete" for trial in outcome.trials)
    if complete >= _FEWEST:
        yield "History", _chart(visualization.plot_optimization_history, study, target_name=name)
        yield "Importances", _chart(visualization.plot_param_importances, study)
        yield (
            "Parallel coordinates",
            _chart(visualization.plot_parallel_coordinate, study, target_name=name),
        )
        yield "Parameters", _chart(visualization.plot_slice, study, target_name=name)
    if any(trial.reported for trial in outcome.trials):
        yield "Validations", _chart(visualization.plot_intermediate_values, study)


def _chart(plot: Callable[..., Any], study: Study, **options: Any) -> str:
    """A chart of Optuna; where there is nothing that it could show, its reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for people who call it from Python
            figure = plot(study.study, **options)
    except (ValueError, RuntimeError) as error:
        return f"<p>{escape(in_one_line(str(error)))}</p>"
    figure.update_layout(title=None)
    return str(figure.to_html(full_html=False, include_plotlyjs=False, include_mathjax=False))


def _trials(outcome: Outcome) -> str:
    names = list(dict.fromkeys(name for trial in outcome.trials for name in trial.parameters))
    rows = [
        (
            [
                trial.number,
                trial.condition,
                _number(trial.value),
                *(_text(trial.parameters.get(name)) for name in names),
                "" if trial.seconds is None else f"{trial.seconds:.1f}",
                _remark(trial),
            ],
            trial.number == outcome.best,
        )
        for trial in outcome.trials
    ]
    return _table(["trial", "result", "value", *names, "seconds", ""], rows)


def _remark(trial: Trial) -> str:
    if trial.failure is not None:
        return f"{trial.failure['kind']}: {trial.failure['message']}"
    return f"trials/{trial.session.name}"


def _folds(outcome: Outcome) -> str:
    names = list(outcome.folds[0].parameters)
    rows = [
        (
            [
                *(_text(fold.parameters[name]) for name in names),
                _number(fold.mean),
                _number(fold.deviation),
                len(fold.trials),
            ],
            index == 0,
        )
        for index, fold in enumerate(outcome.folds)
    ]
    return _table([*names, "mean", "standard deviation", "folds"], rows)


def _table(headings: Sequence[str], rows: Sequence[tuple[Sequence[Any], bool]]) -> str:
    head = "".join(f"<th>{escape(in_one_line(one))}</th>" for one in headings)
    body = "".join(
        f"<tr{' class=best' if is_best else ''}>"
        + "".join(f"<td>{escape(in_one_line(str(cell)))}</td>" for cell in row)
        + "</tr>\n"
        for row, is_best in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
