"""The entry of every command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from torchassistant.cli.arguments import SUMMARIES, parser_of, whole_parser
from torchassistant.cli.outcome import status_of


def main(argv: list[str], prog: str = "torchassistant") -> int:
    """Run a command.

    Args:
        argv: The command (``init``, ``train``, ``evaluate``, ``infer``) and its arguments.
        prog: How the user called it.

    Returns:
        The exit status.
    """
    command = argv[0] if argv else ""
    if command in SUMMARIES and prog != "torchassistant":
        arguments = parser_of(command, prog).parse_args(argv[1:])
    else:
        arguments = whole_parser(prog).parse_args(argv)
        command = arguments.command
    # First, so that the user's modules win over those that lie beside the scripts.
    sys.path.insert(0, os.getcwd())
    return status_of(lambda: _runner(command)(arguments))


def main_console() -> int:
    """The console script."""
    return main(sys.argv[1:])


def _runner(command: str) -> Callable[[Any], int]:
    """The function behind a command; only now is the engine imported."""
    from torchassistant.cli import commands

    return {
        "init": commands.init,
        "train": commands.train,
        "evaluate": commands.evaluate,
        "infer": commands.infer,
    }[command]
