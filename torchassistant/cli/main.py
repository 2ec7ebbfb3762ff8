"""The entry of every command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torchassistant.cli import save_signal, streams, working_directory
from torchassistant.cli.arguments import SUMMARIES, parser_of, whole_parser
from torchassistant.cli.exit_status import DONE, status_of
from torchassistant.cli.log_handler import messages_on_stderr
from torchassistant.cli.scratch_folders import leaving_no_trace


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
    save_signal.listen(trains=command == "train")
    working_directory.make_importable()
    streams.prepare()
    try:
        with messages_on_stderr():
            return status_of(lambda: _run(command, arguments))
    finally:
        save_signal.stop_listening()


def _refuse_early(arguments: Any) -> None:
    """Tell what is wrong before the engine takes its seconds to be imported, where that is all."""
    from torchassistant.config import read, spec_of
    from torchassistant.config.static_check import all_certain

    diagnostics = read(arguments.config, arguments.settings)
    spec = spec_of(diagnostics)
    if diagnostics.problems and (spec is None or all_certain(spec)):
        diagnostics.raise_if_any()


def main_console() -> int:
    """The console script."""
    return main(sys.argv[1:])


def _print_schema() -> int:
    print((Path(__file__).parents[1] / "config.schema.json").read_text("utf-8"), end="")
    return DONE


def _run(command: str, arguments: Any) -> int:
    """Run the function behind a command."""
    if command == "schema":
        return _print_schema()
    with leaving_no_trace(arguments.preflight) if command == "check" else nullcontext():
        return _run_engine(command, arguments)


def _run_engine(command: str, arguments: Any) -> int:
    """The same for all that need the engine; only now is it imported."""
    # What comes through a pipe can be read once.
    is_pipe = Path(getattr(arguments, "config", "")).is_fifo()
    if command in ("init", "check", "verify-resume") and not is_pipe:
        _refuse_early(arguments)
    from torchassistant.cli import commands, verify_resume

    run: dict[str, Callable[[Any], int]] = {
        "init": commands.init,
        "train": commands.train,
        "evaluate": commands.evaluate,
        "infer": commands.infer,
        "check": commands.check,
        "verify-resume": verify_resume.verify_resume,
    }
    return run[command](arguments)
