"""Arguments that several commands have."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from torchassistant.cli.arguments.values import at_least, device


def add_version(parser: ArgumentParser) -> None:
    """``--version``."""
    package = sys.modules[__name__.partition(".")[0]]
    version = f"torchassistant {package.__version__}"
    parser.add_argument(
        "--version", action="version", version=version, help="print the version and exit"
    )


def add_verbose(parser: ArgumentParser) -> None:
    """``--verbose``."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="where the command fails, also print Python's whole traceback",
    )


def add_config(parser: ArgumentParser) -> None:
    """A training config."""
    parser.add_argument("config", metavar="CONFIG", help="training config (JSON or YAML)")


def add_session(parser: ArgumentParser) -> None:
    """A session."""
    parser.add_argument("session", metavar="SESSION_DIR", help="folder that init created")


def add_json(parser: ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_overrides(parser: ArgumentParser) -> None:
    """What changes a config for this call, and what it is allowed."""
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="override a value of the config, as --set optimizer.kwargs.lr=0.001, or a definition "
        "by what a file says, as --set net=@nets/small.yaml; can be repeated",
    )
    parser.add_argument(
        "--trust",
        metavar="NAME",
        action="append",
        default=[],
        help="allow the config to name this module, class or function, or to include files of "
        "this folder (./parts, ../shared); can be repeated",
    )
    parser.add_argument(
        "--allow-download",
        action="store_true",
        help="allow the config to download, follow URLs and unpack what no checksum pins",
    )
    parser.add_argument(
        "--allow-write",
        metavar="FOLDER",
        action="append",
        default=[],
        help="allow the config to write into this folder too; can be repeated",
    )


def add_device(parser: ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device",
        metavar="auto|cpu|cuda:N|mps",
        type=device,
        help="use this device, whatever the config says; the session is not changed",
    )


def add_checkpoint(parser: ArgumentParser) -> None:
    """``--checkpoint``."""
    parser.add_argument(
        "--checkpoint",
        metavar="best|best-MONITOR|last|STEP",
        default="last",
        help="which checkpoint of the session is used (default: last)",
    )


def add_processes(parser: ArgumentParser) -> None:
    """``--processes``."""
    parser.add_argument(
        "--processes",
        metavar="N",
        type=at_least(1),
        help="start N processes on this machine that do it together, as torchrun does",
    )


def allowed(arguments: Namespace) -> dict[str, Any]:
    """What the person allows a config beyond the rest, as the session's functions take it."""
    return {
        "trust": arguments.trust,
        "allow_download": arguments.allow_download,
        "allow_write": arguments.allow_write,
    }
