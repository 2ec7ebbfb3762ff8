"""The commands ``runs`` and ``diff``, which look at sessions and need no torch."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import aligned, as_json, finite
from torchassistant.cli.streams import expect_output, say
from torchassistant.errors import SessionError, in_one_line, shown_path
from torchassistant.overview import Best, Difference, Summary, compare, sessions_in, summarize
from torchassistant.sizes import size_text

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def runs(arguments: Namespace) -> int:
    """List the sessions in a folder."""
    expect_output()
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise SessionError(f"{shown_path(folder)} is not a folder")
    summaries = [summarize(path) for path in sessions_in(folder)]
    if arguments.json:
        print(as_json({"sessions": [summary_as_data(summary) for summary in summaries]}))
        return DONE
    if not summaries:
        say(f"no session in {shown_path(folder)}")
        return DONE
    rows: list[Sequence[str]] = [
        ("session", "state", "stage", "epoch", "best", "last change", "size")
    ]
    rows += [_row(summary, time.time()) for summary in summaries]
    print("\n".join(aligned(rows)))
    for summary in summaries:
        if summary.problem is not None:
            say(f"warning: {shown_path(summary.path)} is damaged: {summary.problem}")
    return DONE


def _row(summary: Summary, now: float) -> tuple[str, ...]:
    running = f"running ({summary.process})" if summary.process is not None else summary.condition
    stage = "" if summary.stage is None else f"{summary.stage}/{summary.stages}"
    if summary.stage_name is not None:
        stage = f"{stage} {summary.stage_name}"
    return (
        shown_path(summary.path),
        running,
        stage,
        "" if summary.epoch is None else str(summary.epoch),
        _results(summary),
        "" if not summary.written else _ago(now - summary.written),
        size_text(summary.size),
    )


def _results(summary: Summary) -> str:
    """The best of each monitor; where none is chosen by, the first value of the last row."""
    if summary.best:
        return ", ".join(map(_best, summary.best))
    name, value = next(iter((summary.last or {}).items()), ("", None))
    return "" if value is None else f"{name} {value:.4g} (last)"


def _best(best: Best) -> str:
    if best.value is None:
        return f"{best.monitor} not measured"
    return f"{best.monitor} {best.value:.4g} (epoch {best.epoch})"


def _ago(seconds: float) -> str:
    """A time in its largest unit.

    >>> _ago(7300)
    '2 h ago'
    """
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"


def summary_as_data(summary: Summary) -> dict[str, Any]:
    """What is known of a session, as data for JSON."""
    data = asdict(summary)
    data["path"] = str(summary.path)
    data["state"] = data.pop("condition")
    found: dict[str, Any] = finite(data)
    return found


def diff(arguments: Namespace) -> int:
    """Compare two sessions."""
    expect_output()
    difference = compare(Path(arguments.one), Path(arguments.other))
    if arguments.json:
        print(as_json(finite(asdict(difference))))
    else:
        print("\n".join(_lines(difference, arguments.one, arguments.other)))
    return DONE


def _lines(difference: Difference, one: str, other: str) -> Iterator[str]:
    for title, values in (("config", difference.config), ("environment", difference.environment)):
        yield f"{title}: {'no difference' if not values else ''}".rstrip(": ")
        rows: list[Sequence[str]] = [("", one, other)]
        rows += [(f"  {path}", *map(_shown, pair)) for path, pair in values.items()]
        yield from aligned(rows) if values else ()
    yield f"code: {'no difference' if not difference.code else ''}".rstrip(": ")
    for name, lines in difference.code.items():
        yield in_one_line(f"  {name}")
        yield from (in_one_line(f"    {line}") for line in lines)
    yield f"results: {'none' if not difference.results else ''}".rstrip(": ")
    kinds = ("last", "least", "greatest")
    table: list[Sequence[str]] = [
        ("", *(f"{kind}, {name}" for kind in kinds for name in (one, other)))
    ]
    table += [
        (f"  {column}", *(_number(value) for kind in kinds for value in values[kind]))
        for column, values in difference.results.items()
    ]
    yield from aligned(table) if difference.results else ()


_LONGEST = 60


def _shown(value: Any) -> str:
    text = "-" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
