"""The command ``report``, which looks at sessions and needs no torch."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import as_json, counted
from torchassistant.cli.streams import expect_output, say
from torchassistant.errors import UserError, shown_path
from torchassistant.report import (
    Report,
    draw_pictures,
    expanded,
    expect_place,
    follow,
    page_of,
    read_report,
    write_page,
)
from torchassistant.report import (
    as_json as as_json_of_page,
)

_NAME = "report.html"


def report(arguments: Namespace) -> int:
    """Write a report of sessions."""
    expect_output()
    folders = expanded([Path(folder) for folder in arguments.sessions])
    predictions = [Path(file) for file in arguments.predictions]
    path = Path(arguments.output) if arguments.output else _place(folders)
    expect_place(path)

    def read(watched: float | None) -> Report:
        return read_report(folders, predictions, watched)

    def write(found: Report) -> None:
        version = sys.modules[__name__.partition(".")[0]].__version__
        title = ", ".join(session.name for session in found.sessions)
        write_page(path, page_of(title, as_json_of_page(found, version)))

    if arguments.watch:
        say(f"{shown_path(path)} follows {counted(len(folders), 'session')}; Ctrl-C ends that")
        follow(read, write)
    else:
        found = read(None)
        for session in found.sessions:
            for problem in session.problems:
                say(f"warning: {shown_path(session.summary.path)}: {problem}")
        write(found)
    pictures = [] if arguments.png is None else draw_pictures(read(None), Path(arguments.png))
    if arguments.json:
        listed = {"sessions": folders, "pictures": pictures}
        told = {name: [str(one) for one in paths] for name, paths in listed.items()}
        print(as_json({"file": str(path), **told}))
    else:
        say(shown_path(path), sys.stdout)
        for picture in pictures:
            say(shown_path(picture), sys.stdout)
    return DONE


def _place(folders: list[Path]) -> Path:
    """Where a report is written that nobody has named a file for."""
    if len(folders) > 1:
        return Path(_NAME)
    (folder,) = folders
    if not os.access(folder, os.W_OK):
        raise UserError(f"{shown_path(folder)} may not be written; -o names another file")
    return folder / _NAME
