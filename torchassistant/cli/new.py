"""The command ``new``: a project that runs at once, to begin with."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from torchassistant.cli.exit_status import DONE
from torchassistant.cli.layout import aligned, as_json, as_word
from torchassistant.cli.streams import expect_output, say
from torchassistant.errors import UserError, shown_path
from torchassistant.projects import KINDS, make_project

_STEPS = ("check {config}", "init {config}", "train sessions/first")
"""What comes next in the folder of a project."""


def new(arguments: Namespace) -> int:
    """Make a project, or list the kinds."""
    expect_output()
    if arguments.kind is None:
        print(as_json({"kinds": KINDS}) if arguments.json else "\n".join(aligned([*KINDS.items()])))
        return DONE
    if arguments.folder is None:
        raise UserError(
            "the folder is missing that the project goes into, as in "
            f'"torchassistant new {arguments.kind} my-{arguments.kind}"'
        )
    project = make_project(arguments.kind, Path(arguments.folder), arguments.yaml)
    shown = shown_path(project.folder)
    if arguments.json:
        print(as_json({"folder": str(project.folder), "files": project.files}))
        return DONE
    say(f"{shown} created: {', '.join(project.files)}", sys.stdout)
    config = "training.yaml" if arguments.yaml else "training.json"
    steps = [f"torchassistant {step.format(config=config)}" for step in _STEPS]
    if project.folder.resolve() != Path.cwd():
        steps.insert(0, f"cd {as_word(shown)}")
    for line in ("next:", *(f"  {step}" for step in steps)):
        say(line, sys.stdout)
    return DONE
