"""The page of a report: one file of HTML with its script, its style and its data."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path

from torchassistant.errors import UserError, shown_path
from torchassistant.whole_files import replacing

MARK = '<meta name="generator" content="TorchAssistant report">'
"""Stands at the beginning of each report: what has it may be replaced by the next one."""

_STYLES = ("vendor/uPlot.min.css", "report.css")
_LIBRARY = "vendor/uPlot.iife.min.js"
_SCRIPTS = (
    "elements.js",
    "numbers.js",
    "data.js",
    "settings.js",
    "chart.js",
    "curves.js",
    "summary.js",
    "classes.js",
    "predictions.js",
    "details.js",
    "report.js",
)
_BEGINNING = 1024


def page_of(title: str, data: str) -> str:
    """The whole page.

    Args:
        title: Of the page.
        data: JSON in which no ``<`` stands.
    """
    style = "\n".join(map(_part, _STYLES))
    # Each file declares names that the next ones use, and none that the page shows.
    own = "\n".join(map(_part, _SCRIPTS))
    script = f'{_part(_LIBRARY)}\n(() => {{\n"use strict";\n{own}\n}})();'
    parts = {
        "generator": MARK,
        "title": escape(title),
        "policy": _policy(style, script),
        "style": style,
        "data": data,
        "script": script,
    }
    pieces = re.split(r"<!-- (\w+) -->", _part("report.html"))
    return "".join(parts[piece] if odd % 2 else piece for odd, piece in enumerate(pieces))


def _part(name: str) -> str:
    return files(__package__).joinpath("page", *name.split("/")).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """What the browser may load: nothing; what it may run: this script alone."""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def write_page(path: Path, page: str) -> None:
    """Write a page, in the place of an earlier one.

    Raises:
        UserError: Something else is there, or its folder is not.
        NotWritten: It cannot be written.
    """
    expect_place(path)
    with replacing(path) as aside:
        aside.write_text(page, encoding="utf-8", errors="replace")


def expect_place(path: Path) -> None:
    """See that a report may be written there.

    Raises:
        UserError: Something else is there, or its folder is not.
    """
    if not path.parent.is_dir():
        raise UserError(f"{shown_path(path)}: there is no folder {shown_path(path.parent)}")
    if path.is_dir():
        raise UserError(f"{shown_path(path)} is a folder; -o takes the file of the report")
    if path.exists() and not _is_report(path):
        raise UserError(
            f"{shown_path(path)} is there already, and is no report; choose another file by -o"
        )


def _is_report(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return MARK.encode() in file.read(_BEGINNING)
