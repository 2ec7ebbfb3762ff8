"""The entry of every command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torchassistant.cli import folder
from torchassistant.cli.arguments import SUMMARIES, parser_of, whole_parser
from torchassistant.cli.outcome import status_of


def main(argv: list[str], prog: str = "torchassistant") -> int:
    """Run a command.

    Args:
        argv: The command (``init``, ``train``, …) and its arguments.
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
    folder.put_first()
    return status_of(lambda: _run(command, arguments))


def main_console() -> int:
    """The console script."""
    return main(sys.argv[1:])


def _run(command: str, arguments: Any) -> int:
    """Run the function behind a command; only now is the engine imported."""
    if command in ("init", "check"):
        # What cannot be read is told before the engine takes its second to be imported.
        from torchassistant.config import read

        read(arguments.config, arguments.settings)
    from torchassistant.cli import commands

    run: dict[str, Callable[[Any], int]] = {
        "init": commands.init,
        "train": commands.train,
        "evaluate": commands.evaluate,
        "infer": commands.infer,
        "check": commands.check,
    }
    return run[command](arguments)
