"""The parsers of the commands."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import NamedTuple

from torchassistant.cli.arguments.common import add_verbose, add_version
from torchassistant.cli.arguments.of_files import (
    fill_completion,
    fill_convert,
    fill_new,
    fill_schema,
)
from torchassistant.cli.arguments.of_looking import (
    fill_diff,
    fill_graph,
    fill_log,
    fill_report,
    fill_runs,
)
from torchassistant.cli.arguments.of_training import (
    fill_check,
    fill_find_lr,
    fill_init,
    fill_sweep,
    fill_train,
    fill_verify_resume,
)
from torchassistant.cli.arguments.of_using import (
    fill_compress,
    fill_evaluate,
    fill_export,
    fill_infer,
)

EPILOG = (
    "exit status: 0 done; 2 something that you can fix; 1 your own code raised; 128 + N ended by "
    "signal N, training once it was saved (130 interrupted, 143 terminated)"
)


class Command(NamedTuple):
    """A command.

    Args:
        summary: What it does.
        fill: Gives its parser the arguments that it has beside those of every command.
    """

    summary: str
    fill: Callable[[ArgumentParser], None]


COMMANDS: dict[str, Command] = {
    "new": Command(
        "Make a project that runs at once: a config, code, and what to do next.", fill_new
    ),
    "init": Command(
        "Create a session from a config: build everything, fit, split, store.", fill_init
    ),
    "train": Command("Train a session, or resume it, until its last stage is done.", fill_train),
    "evaluate": Command(
        "Compute losses and metrics with the trained models of a session.", fill_evaluate
    ),
    "infer": Command("Make predictions with the trained models of a session.", fill_infer),
    "export": Command(
        "Write the graph of a session as ONNX, .pt2 or safetensors, verified.", fill_export
    ),
    "compress": Command(
        "Make the models of a session smaller, as far as a metric allows it.", fill_compress
    ),
    "sweep": Command(
        "Train a config many times, with values that Optuna chooses, and compare.", fill_sweep
    ),
    "find-lr": Command(
        "Find a learning rate: what the loss does while it grows. No weights are kept.",
        fill_find_lr,
    ),
    "log": Command(
        "Send what TensorBoard, MLflow or Trackio lacks of the history of a session.", fill_log
    ),
    "runs": Command(
        "List the sessions in a folder: how far each is, its best results, whether it runs.",
        fill_runs,
    ),
    "graph": Command(
        "Draw the training graph of a config or session as SVG or PNG, or write Mermaid.",
        fill_graph,
    ),
    "diff": Command("Compare two sessions: config, environment, code, results.", fill_diff),
    "report": Command(
        "Write a report of sessions: one HTML file with curves, samples, differences.", fill_report
    ),
    "convert": Command(
        "Turn weights of torch.save into safetensors, running no code; a config into YAML.",
        fill_convert,
    ),
    "check": Command("Find every mistake in a config. Nothing is created.", fill_check),
    "verify-resume": Command(
        "Test whether an interrupted run resumes to exactly the same result.", fill_verify_resume
    ),
    "completion": Command(
        "Print a script by which a shell completes commands, options and paths.", fill_completion
    ),
    "schema": Command(
        "Print the JSON Schema of a config, by which editors complete and check one.", fill_schema
    ),
}

SUMMARIES = {name: command.summary for name, command in COMMANDS.items()}


def parser_of(command: str, prog: str) -> ArgumentParser:
    """The parser of one command."""
    parser = ArgumentParser(prog=prog, description=SUMMARIES[command], epilog=EPILOG)
    _fill(parser, command)
    return parser


def whole_parser(prog: str, kind: type[ArgumentParser] = ArgumentParser) -> ArgumentParser:
    """The parser of all commands; it and theirs are of one kind."""
    parser = kind(
        prog=prog,
        description="A training run described as data: one config in JSON or YAML, a few commands.",
        epilog=EPILOG,
    )
    add_version(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in SUMMARIES.items():
        _fill(commands.add_parser(name, help=summary, description=summary, epilog=EPILOG), name)
    return parser


def _fill(parser: ArgumentParser, command: str) -> None:
    add_version(parser)
    add_verbose(parser)
    COMMANDS[command].fill(parser)
