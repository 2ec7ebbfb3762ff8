"""The command that makes models smaller."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torchassistant.cli.arguments import allowed
from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import as_json, finite
from torchassistant.cli.signals import stopping_after_iteration
from torchassistant.cli.streams import say
from torchassistant.compression import METHODS, Found, Record, Request, compress, without_package
from torchassistant.errors import in_one_line, shown_path
from torchassistant.training import reporter_for

_HEADINGS = (
    *("", "tried", "metric", "weights", "file", "parameters", "batch 1", "batch 32"),
    *("exported", ""),
)
_EXPORTED = {True: "yes", False: "no", None: "-"}


def run(arguments: Namespace) -> int:
    """Search for a smaller model."""
    methods = _all() if arguments.methods is None else tuple(arguments.methods.split(","))
    request = Request(
        arguments.monitor,
        arguments.delta,
        arguments.objective,
        methods,
        arguments.finetune,
        arguments.mode,
    )
    with stopping_after_iteration(saves=True) as stop:
        found = compress(
            arguments.session,
            request,
            arguments.output,
            confirm=arguments.confirm,
            exports=arguments.export,
            trials=arguments.trials,
            seconds=arguments.time,
            checkpoint=arguments.checkpoint,
            reporter=reporter_for(),
            stop=stop,
            tell=_tell,
            **allowed(arguments),
        )
    if arguments.json:
        print(as_json(finite(_as_data(found))))
        return DONE
    print("\n".join(table(found)))
    for line in _conclusion(found, request):
        say(line, sys.stdout)
    return DONE


def _as_data(found: Found) -> dict[str, Any]:
    confirmed = found.confirmed and dict(zip(("before", "after"), found.confirmed, strict=True))
    return {
        "candidates": [asdict(record) for record in found.records],
        "best": found.best.number,
        "session": None if found.result is None else str(found.result),
        "confirmed": confirmed,
        "exported": found.export.exported,
        "not_exported": found.export.reason,
        "ended": found.ended,
    }


def _all() -> tuple[str, ...]:
    """The methods that can be tried here."""
    missing = without_package(METHODS)
    if missing:
        say(
            f"not tried: {', '.join(missing)}, for want of a package; "
            'pip install "torchassistant[compress]" installs it'
        )
    return tuple(method for method in METHODS if method not in missing)


def _tell(record: Record) -> None:
    if record.reason:
        say(f"{record.number}: {record.name}: not possible: {record.reason}")
        return
    verdict = "holds" if record.holds else "too much"
    say(
        f"{record.number}: {record.name}: {record.metric:.4g}, worse by {record.worse_by:.3g} "
        f"({verdict}), {_bytes(record.size)}"
    )


def table(found: Found) -> list[str]:
    """What was tried, as lines of one width for each column."""
    first = found.records[0]
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for one in found.records:
        mark = "*" if one is found.best else "" if one.holds else "x"
        if one.reason:
            rows.append((mark, one.name, *[""] * 7, f"not possible: {in_one_line(one.reason)}"))
            continue
        rows.append(
            (
                mark,
                one.name,
                f"{one.metric:.4g}",
                f"{_bytes(one.size)} ({first.size / max(one.size, 1):.1f}x)",
                f"{_bytes(one.file)} ({first.file / max(one.file, 1):.1f}x)",
                f"{one.parameters:,}",
                _milliseconds(one, "1"),
                _milliseconds(one, "32"),
                _EXPORTED[found.export.exported] if one is found.best else "",
                "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(9)]
    return [_line(row, widths) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left = [row[i].ljust(widths[i]) for i in (0, 1)]
    right = [row[i].rjust(widths[i]) for i in range(2, 9)]
    return "  ".join([*left, *right, row[9]]).rstrip()


def _conclusion(found: Found, request: Request) -> list[str]:
    best, first = found.best, found.records[0]
    lines = [f"{found.ended}; * is the best by {request.objective}, x is worse by more than delta"]
    if found.result is None:
        lines.append(f'nothing smaller keeps "{request.monitor}" within {request.delta:g}')
    else:
        lines.append(
            f"{best.name}: weights {first.size / best.size:.2f} times smaller, the file "
            f'{first.file / best.file:.2f} times; "{request.monitor}" {first.metric:.6g} became '
            f"{best.metric:.6g}; the session is {shown_path(found.result)}"
        )
    if found.export.exported is False:
        lines.append(f"{best.name} was not exported to ONNX: {found.export.reason}")
    if found.confirmed is not None:
        before, after = found.confirmed
        lines += [
            f"on other data: {name} {before[name]:.6g} became {after[name]:.6g}" for name in after
        ]
    return lines


def _milliseconds(record: Record, size: str) -> str:
    value = record.latency.get(size)
    return "-" if value is None else f"{value:.2f} ms"


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000 or unit == "MB":
            return f"{count:.3g} {unit}" if unit != "B" else f"{count} B"
        count = count / 1000  # type: ignore[assignment]
    return ""
