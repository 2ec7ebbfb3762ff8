"""The curves, matrices and graphs of a report as PNG files, for papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from torchassistant.diagram import png_of
from torchassistant.errors import UserError, shown_path
from torchassistant.report.content import Report
from torchassistant.report.row_tensors import Numbers, TensorMetric, curves_of
from torchassistant.report.sessions import SessionReport
from torchassistant.whole_files import make_folder, replacing
from torchassistant.writing import safe_in_file_names

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
_DASHES = ("-", "--", ":", "-.")
_INCHES, _SQUARE, _DPI = (6.4, 4.0), (5.2, 4.4), 160
_MOST_CLASSES_WITH_NUMBERS = 20
_LONGEST_NAME = 24

Names = Mapping[int, Sequence[str]]
"""What classes are called, by their number."""


def draw_pictures(report: Report, folder: Path) -> list[Path]:
    """Draw each column over the epochs, what metrics gave as matrices and curves, and the graphs.

    Args:
        report: What is drawn; several sessions lie over one another.
        folder: Where the files go, of which earlier ones of these names are replaced.

    Returns:
        The files.

    Raises:
        UserError: matplotlib, or for graphs resvg, is not installed; or the folder is a file.
        NotWritten: A file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{shown_path(folder)} is no folder; --png takes one")
    pictures = chain(_charts(report), _graphs(report))
    make_folder(folder)
    found: list[Path] = []
    for title, picture in pictures:
        path = _free(folder, safe_in_file_names(title), found)
        with replacing(path) as aside:
            aside.write_bytes(picture)
        found.append(path)
    return found


def _charts(report: Report) -> Iterator[tuple[str, bytes]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "pictures are drawn by matplotlib, which is not installed: "
            "pip install torchassistant[report]"
        ) from None
    for title, draw in _drawn(report):
        inches = _SQUARE if draw.func is _draw_matrix else _INCHES
        figure = Figure(figsize=inches, dpi=_DPI, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set_title(_plain(title))
        drawn = BytesIO()
        figure.savefig(drawn, format="png")
        yield title, drawn.getvalue()


def _graphs(report: Report) -> Iterator[tuple[str, bytes]]:
    """Each training graph; one that several sessions have is called by the first of them."""
    names: dict[str, str] = {}
    for session in report.sessions:
        if session.graph is not None:
            names.setdefault(session.graph, session.name)
    for svg, name in names.items():
        yield "training graph" if len(names) == 1 else f"training graph {name}", png_of(svg)


def _free(folder: Path, name: str, taken: Sequence[Path]) -> Path:
    """A file that is not drawn yet: different names may be safe in the same way."""
    path, number = folder / f"{name}.png", 2
    while path in taken:
        path, number = folder / f"{name}-{number}.png", number + 1
    return path


def _plain(text: str) -> str:
    """A text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def _drawn(report: Report) -> Iterator[tuple[str, partial[None]]]:
    sessions = report.sessions
    names = dict.fromkeys(name for one in sessions for name in one.histories.rows.values)
    for name in names:
        yield name, partial(_draw_curves, sessions, name)
    for session in sessions:
        for metric in session.tensors:
            title = metric.name if len(sessions) == 1 else f"{metric.name} {session.name}"
            if metric.look == "matrix":
                yield title, partial(_draw_matrix, metric, session.class_names)
            elif metric.look in ("roc", "precision-recall", "curves"):
                yield title, partial(_draw_rates, metric, session.class_names)


def _draw_curves(sessions: Sequence[SessionReport], name: str, axes: Any) -> None:
    for place, session in enumerate(sessions):
        table = session.histories.rows
        column = table.values.get(name, [])
        points = [(x, y) for x, y in zip(table.epochs, column, strict=False) if y is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                label=_plain(session.name),
                color=_COLORS[place % len(_COLORS)],
                linestyle=_DASHES[place // len(_COLORS) % len(_DASHES)],
                marker="o" if len(points) == 1 else None,
            )
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    if len(sessions) > 1:
        axes.legend()


def _draw_matrix(metric: TensorMetric, names: Names, axes: Any) -> None:
    value: Numbers = metric.rows[-1].value
    height, width = value.shape
    rows = [value.values[row * width : (row + 1) * width] for row in range(height)]
    image = axes.imshow(rows, cmap="Blues")
    axes.figure.colorbar(image)
    if height == width:
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
    if max(height, width) > _MOST_CLASSES_WITH_NUMBERS:
        return
    axes.set_xticks(range(width), _called(names, width), rotation=90 if width in names else 0)
    axes.set_yticks(range(height), _called(names, height))
    largest = max(value.values)
    for y, row in enumerate(rows):
        for x, number in enumerate(row):
            color = "white" if number > largest / 2 else "black"
            axes.text(x, y, f"{number:.4g}", ha="center", va="center", color=color, fontsize=8)


def _called(names: Names, count: int, otherwise: str = "") -> list[str]:
    """What each of so many classes is called."""
    known = names.get(count) or [f"{otherwise}{place}" for place in range(count)]
    return [
        _plain(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")
        for name in known
    ]


def _draw_rates(metric: TensorMetric, names: Names, axes: Any) -> None:
    curves = curves_of(metric.rows[-1].value)
    is_recall = metric.look == "precision-recall"
    called = _called(names, len(curves), "class ")
    for place, (x, y) in enumerate(curves):
        axes.plot(
            *((y, x) if is_recall else (x, y)),
            label=called[place],
            color=_COLORS[place % len(_COLORS)],
            linestyle=_DASHES[place // len(_COLORS) % len(_DASHES)],
        )
    if metric.look != "curves":
        axis_names = (
            ("recall", "precision") if is_recall else ("false positive rate", "true positive rate")
        )
        axes.set_xlabel(axis_names[0])
        axes.set_ylabel(axis_names[1])
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(fontsize=8)
