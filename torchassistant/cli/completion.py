"""The command ``completion``: a script that a shell reads once; to complete starts no Python."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

import shtab

from torchassistant.cli.arguments import whole_parser
from torchassistant.cli.exit_status import DONE
from torchassistant.cli.streams import expect_output
from torchassistant.projects import KINDS

NAME = "torchassistant"

_COMPLETED_BY: dict[str, Any] = {
    **dict.fromkeys(("SESSION_DIR", "OTHER_SESSION_DIR", "FOLDER"), shtab.DIRECTORY),
    **dict.fromkeys(("CONFIG", "CONFIG_OR_SESSION_DIR", "SESSION_OR_CONFIG"), shtab.FILE),
    "KIND": shtab.cmd("; ".join(f"echo {kind}" for kind in KINDS)),
    **dict.fromkeys(("FILE", "NEW_FILE", "INPUT"), shtab.FILE),
    "best|best-MONITOR|last|STEP": shtab.cmd("echo best; echo last"),
    "auto|cpu|cuda:N|mps": shtab.cmd("echo auto; echo cpu; echo cuda; echo mps"),
}
"""What may stand in the place of an argument, by what it is called in the usage."""


class _Completed(argparse.ArgumentParser):
    """A parser whose arguments know what completes them."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """See ``argparse``."""
        action: Any = super().add_argument(*args, **kwargs)
        if isinstance(action.metavar, str) and action.metavar in _COMPLETED_BY:
            action.complete = _COMPLETED_BY[action.metavar]
        return action


def completion(arguments: Namespace) -> int:
    """Print the script of a shell."""
    expect_output()
    print(shtab.complete(whole_parser(NAME, _Completed), arguments.shell))
    return DONE
