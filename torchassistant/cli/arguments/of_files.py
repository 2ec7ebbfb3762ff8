"""Arguments of the commands that need no session: they write or print files."""

from __future__ import annotations

from argparse import ArgumentParser

from torchassistant.cli.arguments.common import add_json

SHELLS = ("bash", "zsh", "fish")
"""For which there is a script of completions."""


def fill_new(parser: ArgumentParser) -> None:
    """``new``."""
    parser.add_argument("kind", metavar="KIND", nargs="?", help="which; left out: they are listed")
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="a new folder, or an empty one, for its files"
    )
    parser.add_argument("--yaml", action="store_true", help="write the config in YAML")
    add_json(parser)


def fill_convert(parser: ArgumentParser) -> None:
    """``convert``."""
    parser.add_argument(
        "source", metavar="FILE", help="weights that torch.save wrote (.pth, …), or a config"
    )
    parser.add_argument(
        "target",
        metavar="NEW_FILE",
        help="where they go; ends in .safetensors, of a config in .yaml or .json",
    )
    parser.add_argument(
        "--key",
        metavar="NAME",
        help="which dictionary in the file is meant, as model, or model.ema for one in another "
        "(default: the only one, or state_dict)",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave out tensors whose names match, as 'fc.*'; can be repeated",
    )
    parser.add_argument(
        "--optimizer",
        metavar="NAME",
        nargs="?",
        const=True,
        default=False,
        help="take the state of an optimizer, for its key state, in place of weights; NAME says "
        "which, as optimizer_states.0 (default: the only one)",
    )
    parser.add_argument(
        "--skip-objects",
        action="store_true",
        help="leave out objects that are no weights and that only code could make",
    )
    parser.add_argument("--replace", action="store_true", help="replace NEW_FILE if it is there")
    add_json(parser)


def fill_completion(parser: ArgumentParser) -> None:
    """``completion``."""
    parser.add_argument("shell", choices=SHELLS, help="which shell it is for")


def fill_schema(parser: ArgumentParser) -> None:
    """``schema``."""
    parser.add_argument(
        "--path", action="store_true", help="print the path of the file instead, for editors"
    )
