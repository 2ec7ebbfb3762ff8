"""Draws the graph of each example into its README: ``python docs/graphs.py`` [NAME …].

``tests/diagram/test_training_graph.py`` finds graphs that are out of date.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_SHAPES = ("finetune", "mnist")
"""Their data is made, or downloaded, beforehand; for the others, one batch is run."""

ROOT = Path(__file__).resolve().parent.parent


def main(names: list[str]) -> None:
    """Draw them."""
    for folder in sorted((ROOT / "examples").iterdir()):
        config = folder / "training.json"
        if config.is_file() and (not names or folder.name in names):
            graph = ["graph", str(config.relative_to(ROOT)), "-o", str(folder / "graph.svg")]
            graph += [] if folder.name in WITHOUT_SHAPES else ["--shapes"]
            command = [sys.executable, "-m", "torchassistant", *graph]
            subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    main(sys.argv[1:])
