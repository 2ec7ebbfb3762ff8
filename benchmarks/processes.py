"""Whole commands, as a person starts them: how long they take, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.terminal import terminal

ROOT = Path(__file__).resolve().parents[1]

# A process inherits, as its peak, what its parent held: the parent must be small.
_LAUNCH = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss]))
"""
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# Linux counts in KiB, macOS in bytes.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def python(*arguments: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *arguments]


def train_py(session: Path | str) -> list[str]:
    """The command that trains a session."""
    return python("train.py", str(session), "--trust", "benchmarks")


def by_hand(*arguments: object) -> list[str]:
    """The script that trains by hand."""
    return python("-m", "benchmarks.by_hand", *map(str, arguments))


def many_by_hand(models: int, examples: int, epochs: int) -> list[str]:
    """The script that trains several models in one loop."""
    return python("-m", "benchmarks.many_by_hand", *map(str, (models, examples, epochs)))


def phases_of(*arguments: str) -> list[str]:
    """What times the phases of a command."""
    return python("-m", "benchmarks.phases", *arguments)


def said_by(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    done = subprocess.run(
        command, stdout=subprocess.PIPE, cwd=ROOT, env=_env(), check=True, text=True
    )
    return done.stdout


def torchrun(count: int, module: str, *arguments: object) -> list[str]:
    """A module in so many processes, started by torch's launcher."""
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
    return python(*launcher, "-m", module, *map(str, arguments))


def seconds_of(command: Sequence[str]) -> float:
    """From start to end, on a terminal.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    with terminal() as stream:
        began = time.perf_counter()
        subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=stream, cwd=ROOT, env=_env(), check=True
        )
        return time.perf_counter() - began


def peak_of(command: Sequence[str]) -> int:
    """The most memory that a command has held, on a terminal, in bytes.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    with terminal() as stream:
        launched = subprocess.run(
            python("-I", "-S", "-c", _LAUNCH, *command),
            stdout=subprocess.PIPE,
            stderr=stream,
            cwd=ROOT,
            env=_env(),
            check=True,
        )
    status, peak = json.loads(launched.stdout)
    if status:
        raise subprocess.CalledProcessError(status, command)
    return int(peak * _MAXRSS_BYTES)


def _env() -> dict[str, str]:
    """The environment, with this checkout on Python's path, before any other.

    Its modules are compiled once, as pip does it with those of all other packages.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept = {name: said for name, said in os.environ.items() if name != _NO_BYTECODE}
    return {**kept, "PYTHONPATH": path}
