"""The working directory in the place of the folder that our scripts stand in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from torchassistant.errors import UserError
from torchassistant.lateimports import stand_in


def make_importable() -> None:
    """Let the user's own code, and the config, import what lies in the working directory.

    Raises:
        UserError: It is gone.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("the working directory is gone; cd to one that is there") from None
    if _is_scripts(sys.path[0]):
        del sys.path[0]
    stand_in()


def _is_scripts(entry: str) -> bool:
    """Whether Python has put this first because a script of ours was called that lies there.

    What lies beside the scripts, as ``examples``, is not the user's. An installed package has no
    scripts beside it, but all other libraries.
    """
    beside = Path(__file__).resolve().parents[2]
    called = Path(sys.argv[0]).resolve()
    return bool(entry) and Path(entry).resolve() == beside == called.parent
