"""A process that trains a session: ``torchrun … -m benchmarks.rank_of_session SESSION PEAKS``."""

from __future__ import annotations

import os
import sys

from benchmarks.memory import note_peak
from torchassistant.cli import main as command


def main(session: str, peaks: str) -> int:
    """Train as ``train.py`` does, and write down the most memory that was held."""
    status = command(["train", session, "--trust", "benchmarks"], prog="train.py")
    note_peak(peaks, int(os.environ["RANK"]))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
