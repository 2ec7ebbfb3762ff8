"""The entry of every command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchassistant.cli import save_signal, streams, working_directory
from torchassistant.cli.arguments import SUMMARIES, parser_of, whole_parser
from torchassistant.cli.exit_status import DONE, USER_ERROR, status_of
from torchassistant.cli.layout import as_json, problems_as_data
from torchassistant.cli.log_handler import messages_on_stderr
from torchassistant.cli.scratch_folders import leaving_no_trace
from torchassistant.compat.python import with_stack_room
from torchassistant.errors import UserError
from torchassistant.import_garbage import imports_uncollected, of_command


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
    streams.prepare()
    try:
        with messages_on_stderr(), of_command():
            return with_stack_room(
                lambda: status_of(lambda: _run_here(command, arguments), arguments.verbose)
            )
    finally:
        save_signal.stop_listening()


def main_console() -> int:
    """The console script."""
    return main(sys.argv[1:])


def _print_schema(arguments: Any) -> int:
    streams.expect_output()
    path = Path(__file__).parents[1] / "config.schema.json"
    print(path if arguments.path else path.read_text("utf-8").rstrip())
    return DONE


def _explain(arguments: Any) -> int:
    """Tell who set a value; what else is wrong with the config is told too."""
    from torchassistant.cli.explaining import explain_value

    return explain_value(arguments)


def _run_new(arguments: Any) -> int:
    """Make a project."""
    from torchassistant.cli.new import new

    return new(arguments)


def _run_convert(arguments: Any) -> int:
    """Convert a file."""
    from torchassistant.cli.convert import convert

    return convert(arguments)


def _run_runs(arguments: Any) -> int:
    """List sessions."""
    from torchassistant.cli.overview import runs

    return runs(arguments)


def _run_diff(arguments: Any) -> int:
    """Compare sessions."""
    from torchassistant.cli.overview import diff

    return diff(arguments)


def _run_completion(arguments: Any) -> int:
    """Print a script for a shell."""
    from torchassistant.cli.completion import completion

    return completion(arguments)


def _run_report(arguments: Any) -> int:
    """Write a report of sessions."""
    from torchassistant.cli.report import report

    return report(arguments)


def _run_graph(arguments: Any) -> int:
    """Draw a training graph; the engine is imported where it has to look at data."""
    from torchassistant.cli.graph import graph

    return graph(arguments)


_WITHOUT_ENGINE: dict[str, Callable[[Any], int]] = {
    "new": _run_new,
    "convert": _run_convert,
    "runs": _run_runs,
    "diff": _run_diff,
    "completion": _run_completion,
    "report": _run_report,
    "graph": _run_graph,
}
"""Commands for which torch is not imported; each imports what it needs itself."""


def _run_here(command: str, arguments: Any) -> int:
    """Run a command, which may import what lies in the working directory."""
    working_directory.make_importable()
    return _run(command, arguments)


def _run(command: str, arguments: Any) -> int:
    """Run the function behind a command."""
    if command == "schema":
        return _print_schema(arguments)
    if command in _WITHOUT_ENGINE:
        return _WITHOUT_ENGINE[command](arguments)
    if command != "check":
        return _run_engine(command, arguments)
    with leaving_no_trace(arguments.preflight):
        return _run_check(arguments)


def _run_check(arguments: Any) -> int:
    """Find mistakes; with ``--json`` they are results, and not errors."""
    if arguments.json or arguments.complete or arguments.explain is not None:
        streams.expect_output()
    try:
        if arguments.explain is not None:
            return _explain(arguments)
        return _run_engine("check", arguments)
    except UserError as error:
        if not arguments.json:
            raise
        told = {"problems": error.problems, "warnings": error.warnings}
        print(as_json({what: problems_as_data(found) for what, found in told.items()}))
        return USER_ERROR


def _run_engine(command: str, arguments: Any) -> int:
    """The same for all that need the engine; what is wrong is told before it is imported."""
    read = _read_early(command, arguments)
    with imports_uncollected():
        run = _of_engine(command)
    return run(arguments, *read)


def _read_early(command: str, arguments: Any) -> tuple[Any, ...]:
    """What a command reads before the engine takes its seconds to be imported.

    Raises:
        ConfigError: Something is wrong with it, and the engine would find nothing else.
    """
    if command == "sweep":
        from torchassistant.config import read_sweep

        return (read_sweep(arguments.sweep, arguments.settings, arguments.trust),)
    if command not in ("init", "check", "verify-resume"):
        return ()
    from torchassistant.config import passes_static_check, read_training

    config = read_training(arguments.config, arguments.settings, arguments.trust)
    if config.diagnostics.problems and (config.spec is None or passes_static_check(config.spec)):
        config.diagnostics.raise_if_any()
    return (config,)


def _of_engine(command: str) -> Callable[..., int]:
    """The function behind a command; each imports what it needs, and nothing of the others."""
    if command == "export":
        from torchassistant.cli.export import export

        return export
    if command == "compress":
        from torchassistant.cli import compression

        return compression.run
    if command == "find-lr":
        from torchassistant.cli.find_lr import find_lr

        return find_lr
    if command == "sweep":
        from torchassistant.cli.sweep import sweep

        return sweep
    if command == "verify-resume":
        from torchassistant.cli.verify_resume import verify_resume

        return verify_resume
    from torchassistant.cli import commands

    functions: dict[str, Callable[..., int]] = {
        "init": commands.init,
        "check": commands.check,
        "train": commands.train,
        "evaluate": commands.evaluate,
        "infer": commands.infer,
        "log": commands.log,
    }
    return functions[command]
