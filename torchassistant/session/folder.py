"""What stands where in a session folder, and what is written there once."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from torchassistant.build import Statics
from torchassistant.config import Findings, Spec, as_data, read
from torchassistant.errors import ConfigError, SessionError, shown_path
from torchassistant.session.checkpoints import Checkpoints
from torchassistant.session.history import History
from torchassistant.session.state import read_state, write_state
from torchassistant.session.storage import read_tensors, write_json, write_tensors

_PACKAGES = ("torchassistant", "torch", "torchvision", "torchmetrics", "numpy", "safetensors")


class SessionFolder:
    """A folder that holds one training run.

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.spec = self.path / "spec.json"
        self.environment = self.path / "environment.json"
        self.splits = self.path / "static" / "splits"
        self.preprocessors = self.path / "static" / "preprocessors"
        self.checkpoints = Checkpoints(self.path / "checkpoints")
        self.history = History(self.path / "metrics")

    def create(self, spec: Spec, statics: Statics) -> None:
        """Write what never changes again, and the folders of the rest."""
        write_json(self.spec, as_data(spec))
        for folder in ("static", "checkpoints", "metrics"):
            (self.path / folder).mkdir()
        for name, indices in statics.splits.items():
            tensors = {str(position): part for position, part in enumerate(indices)}
            write_tensors(self.splits / f"{name}.safetensors", tensors)
        for name, state in statics.preprocessors.items():
            what = f'the preprocessor "{name}"'
            write_state(self.preprocessors, name, state, what)

    def read_spec(self, settings: Sequence[str] = ()) -> Findings:
        """The spec as it was checked and completed when the session was created.

        Args:
            settings: What is to be changed in it, each as ``PATH=VALUE``.

        Raises:
            SessionError: This is no session folder.
        """
        if not self.spec.is_file():
            what = "is no session folder" if self.path.is_dir() else "does not exist"
            hint = "it has no spec.json" if self.path.is_dir() else "init.py makes one"
            raise SessionError(f"{shown_path(self.path)} {what} ({hint})")
        # Variables are put in already; a "${" that is left is text.
        return read(self.spec, settings, variables=False)

    def statics(self) -> Statics:
        """The split indices, and the states of the fitted preprocessors."""
        statics = Statics()
        try:
            for path in sorted(self.splits.glob("*.safetensors")):
                tensors = read_tensors(path)
                statics.splits[path.stem] = [tensors[str(i)] for i in range(len(tensors))]
            for path in sorted(self.preprocessors.glob("*.json")):
                statics.preprocessors[path.stem] = read_state(self.preprocessors, path.stem)
        except ConfigError:
            raise
        except Exception as error:
            raise SessionError(f"{shown_path(path)} cannot be read: {error}") from error
        return statics


def write_environment(folder: SessionFolder, seed: int, device: torch.device) -> None:
    """Under which versions, on what, by which command the session was created."""
    cuda = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    write_json(
        folder.environment,
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": sys.argv,
            "working_directory": os.getcwd(),
            "git_commit": _git_commit(),
            "seed": seed,
            "device": str(device),
            "gpu": cuda,
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in _PACKAGES},
        },
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the user's own code, where the working directory is under git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
