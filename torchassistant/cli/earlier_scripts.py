"""The commands by the names that their scripts have in earlier releases."""

from __future__ import annotations

import sys

from torchassistant.cli.main import main


def tainit() -> int:
    """``torchassistant init``."""
    return _run("init", "tainit")


def tatrain() -> int:
    """``torchassistant train``."""
    return _run("train", "tatrain")


def taevaluate() -> int:
    """``torchassistant evaluate``."""
    return _run("evaluate", "taevaluate")


def tainfer() -> int:
    """``torchassistant infer``."""
    return _run("infer", "tainfer")


def _run(command: str, script: str) -> int:
    return main([command, *sys.argv[1:]], prog=script)
