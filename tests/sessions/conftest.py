"""What makes the toys importable, and runs the commands over them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from warm_commands import WarmCommands

from torchassistant.session import train_traced

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from toy_config import ROOT, Command, environment  # noqa: E402


@pytest.fixture
def command(tmp_path: Path, warm_commands: WarmCommands) -> Command:
    """``command("init.py", CONFIG)`` runs a script in the test's folder; ``"-m"`` a module."""

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return warm_commands.run(script, *arguments, cwd=tmp_path, env=environment())

    return run


@pytest.fixture
def interpreter(tmp_path: Path) -> Command:
    """The same in an interpreter of its own, for what happens before torch is imported, too."""

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        called = [script] if script == "-m" else [str(ROOT / script)]
        return subprocess.run(
            [sys.executable, *called, *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def verifying_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """``verify-resume`` trains in this process, not in one for each run, which imports torch."""

    def here(run: Any, until: int, allowed: dict[str, Any], count: int) -> tuple[int, int, int]:
        return (0, *train_traced(run.session, until, run.trace, allowed))

    monkeypatch.setattr("torchassistant.cli.verify_resume._in_processes", here)
