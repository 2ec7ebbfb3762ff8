"""What makes the toys importable, and runs the commands over them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from toy_config import ROOT, Command, environment  # noqa: E402


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """``command("init.py", CONFIG)`` runs a script in the test's folder; ``"-m"`` a module."""

    def run(script: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        called = [script] if script == "-m" else [str(ROOT / script)]
        return subprocess.run(
            [sys.executable, *called, *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    return run
