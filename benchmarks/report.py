"""Writes docs/benchmarks.md from the stored results: ``python -m benchmarks.report``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.records import Result, read_all

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"

HEADER = """\
# Benchmarks

Written by `make bench` and `make bench-peers`, from the files in `benchmarks/results/`.

The two sides of a comparison run alternately, in one process or in pairs of processes, and each
pair gives one ratio: time or memory of TorchAssistant divided by that of the other side. Less is
better, except for rates ("per second"). The tables show the median over the pairs, and the
quartiles in brackets; warm-up is excluded. TorchAssistant runs as usual: with its progress bar on a
terminal, running losses, history and checkpoints. A hand-written loop uses the same dataset, the
same arguments of the optimizer, torch's `DataLoader` and `default_collate`, and trains on the same
batches. "Same weights" says whether both sides ended with the same weights, bit for bit. "Before"
is the figure that was kept before, of a machine of the same kind; it is marked where the new one is
worse by more than the noise, that is, where the quartiles of the two are apart.
"""


def page(results: Iterable[Result]) -> str:
    """The whole page, as Markdown."""
    known = list(results)
    return "\n".join([HEADER, _summary(known), *map(_section, known)])


def _summary(results: Sequence[Result]) -> str:
    """What is to be met, and whether it is."""
    aimed = [f for result in results for f in result.figures if f.met is not None]
    met = sum(bool(figure.met) for figure in aimed)
    rows = [
        f"| {figure.what} | {figure.against} | {_middle(figure)} | {_target(figure)} |"
        for figure in aimed
    ]
    return "\n".join(
        [
            f"## In short\n\n{met} of {len(aimed)} targets are met.\n",
            "| what | compared with | result | target |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _section(result: Result) -> str:
    known = ", ".join(f"{key} {value}" for key, value in result.circumstances.items())
    return (
        f"## {result.workload}\n\n{result.about}\n\n{table(result.figures)}\n\n"
        f"Measured on {result.day}: {known}.\n"
    )


def table(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    head = "| what | compared with | ours | other | result | target | before | same weights |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *map(_line, figures)])


def _line(figure: Figure) -> str:
    cells = [
        figure.what,
        figure.against,
        _side(figure.ours, figure.sides),
        _side(figure.theirs, figure.sides),
        _spread(figure),
        _target(figure),
        _before(figure),
        {True: "yes", False: "**no**", None: ""}[figure.identical],
    ]
    return f"| {' | '.join(cells)} |"


def _side(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_short(value)} {unit}".rstrip()


def _middle(figure: Figure) -> str:
    return f"{_short(figure.spread.median)} {figure.unit}".rstrip()


def _before(figure: Figure) -> str:
    if figure.before is None:
        return ""
    middle = f"{_short(figure.before.median)} {figure.unit}".rstrip()
    return f"{middle}, **worse now**" if figure.is_worse else middle


def _spread(figure: Figure) -> str:
    spread, middle = figure.spread, _middle(figure)
    if spread.count == 1:
        return middle
    return f"{middle} [{_short(spread.low)}, {_short(spread.high)}], {spread.count} pairs"


def _target(figure: Figure) -> str:
    if figure.met is None:
        return ""
    bound = figure.at_most if figure.at_most is not None else figure.at_least
    word = "at most" if figure.at_most is not None else "at least"
    return f"{word} {bound:g}: {'met' if figure.met else '**not met**'}"


def _short(value: float) -> str:
    """Three digits or so, and never an exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


if __name__ == "__main__":
    PAGE.write_text(page(read_all()), encoding="utf-8")
