"""What the tests of the examples share: a folder to work in, and the four commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from warm_commands import WarmCommands

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of ``examples/``, so that runs leave nothing in the project."""
    folder = tmp_path_factory.mktemp("workplace")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def run(workplace: Path, warm_commands: WarmCommands) -> Run:
    """``run("init.py", CONFIG)`` runs a command in the workplace, as a person would.

    It returns the completed process, with text in ``stdout`` and ``stderr``; a status other than
    ``status`` (0) fails the test.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(script: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = warm_commands.run(script, *arguments, cwd=workplace, env=environment, timeout=600)
        assert done.returncode == status, done.stderr
        return done

    return run
