"""Arguments of the commands that show sessions and configs."""

from __future__ import annotations

from argparse import ArgumentParser

from torchassistant.cli.arguments.common import add_json, add_overrides, add_session


def fill_log(parser: ArgumentParser) -> None:
    """``log``."""
    add_session(parser)
    parser.add_argument(
        "--to",
        choices=("tensorboard", "mlflow", "trackio"),
        required=True,
        help="the program that shows it",
    )
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="where its files are, or are to be (default: a folder of the session, of its name)",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="what the run is called (default: as the session's folder)"
    )
    parser.add_argument("--experiment", metavar="NAME", help="of MLflow (default: torchassistant)")
    parser.add_argument("--project", metavar="NAME", help="of Trackio (default: torchassistant)")
    add_json(parser)


def fill_runs(parser: ArgumentParser) -> None:
    """``runs``."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default=".",
        help="sessions in it, and in folders in it, are listed (default: the working directory)",
    )
    add_json(parser)


def fill_graph(parser: ArgumentParser) -> None:
    """``graph``."""
    parser.add_argument(
        "source", metavar="CONFIG_OR_SESSION_DIR", help="training config, or a session folder"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write this file (.svg, .png, .mmd), in the place of an earlier one; left out: "
        "print it",
    )
    parser.add_argument(
        "--format",
        choices=("svg", "mermaid", "png"),
        help="of the graph (default: as FILE ends, or svg)",
    )
    parser.add_argument(
        "--stage",
        metavar="NAME|N",
        help="draw what runs in this stage, by its name or its number from 1 (default: all)",
    )
    parser.add_argument(
        "--shapes",
        action="store_true",
        help="build everything and run one batch of every pipeline, to learn the shapes of "
        "columns; of a session they are known",
    )
    parser.add_argument(
        "--unfold", action="store_true", help="draw equal parts each time, not once for all"
    )
    add_json(parser)
    add_overrides(parser)


def fill_diff(parser: ArgumentParser) -> None:
    """``diff``."""
    parser.add_argument("one", metavar="SESSION_DIR", help="a session")
    parser.add_argument("other", metavar="OTHER_SESSION_DIR", help="and another one")
    add_json(parser)


def fill_report(parser: ArgumentParser) -> None:
    """``report``."""
    parser.add_argument(
        "sessions",
        metavar="SESSION_DIR",
        nargs="+",
        help="sessions, of which several are laid over one another; another folder stands for the "
        "sessions in it",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the report; an earlier one is replaced (default: report.html in the session, of "
        "several sessions in the working directory)",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write it again every 10 seconds until training has ended, or Ctrl-C",
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        action="append",
        default=[],
        help="show a file that infer -o has written, too; can be repeated",
    )
    parser.add_argument(
        "--png",
        metavar="FOLDER",
        help="also draw curves, matrices, ROC and the graph into PNG files in this folder",
    )
    add_json(parser)
