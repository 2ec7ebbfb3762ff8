"""Standard streams that are closed or full: a run trains to the end, and a lost result is told.

The commands are run by a shell, as a person or a scheduler does it.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from toy_config import ROOT, environment, files_of, toy_config

from torchassistant import create_session, load_session

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def _few(kinds: Iterable[str], few: str) -> list[Any]:
    """Each command takes seconds: one of a kind each time, and the others now and then."""
    return [pytest.param(kind, marks=() if kind == few else pytest.mark.slow) for kind in kinds]


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a session that is to be trained, and the same when that is done."""
    folder = tmp_path_factory.mktemp("created")
    config = toy_config(points={"class": "chatty.Chatty"}, checking=LITTLE)
    create_session(config, folder / "run", preflight=False)
    shutil.copytree(folder / "run", folder / "trained" / "run")
    load_session(folder / "trained" / "run").train()
    return folder


LITTLE = {"dataset": "parts.val", "kwargs": {"batch_size": 8}}


def run(
    folder: Path, script: str, redirected: str, unbuffered: bool = False
) -> subprocess.CompletedProcess[str]:
    """A command in a shell, with its streams as they are said to be."""
    buffering = {"PYTHONUNBUFFERED": "1" if unbuffered else ""}
    words = [sys.executable, str(ROOT / script), "run", "--trust", "chatty"]
    return subprocess.run(
        ["sh", "-c", f"{shlex.join(words)} {redirected}"],
        cwd=folder,
        env={**environment(), **buffering},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def states(session: Path) -> dict[str, bytes]:
    """The files of all checkpoints, without what has seconds in it."""
    files = files_of(session / "checkpoints")
    return {name: data for name, data in files.items() if not name.endswith("manifest.json")}


TRAIN = {
    "all closed": ("<&- >&- 2>&-", 0),
    "stdout full": (">/dev/full", None),
    "stderr full": ("2>/dev/full", 0),
}


@needs_full
@pytest.mark.parametrize("kind", _few(TRAIN, "all closed"))
def test_a_run_trains_to_the_end(tmp_path: Path, created: Path, kind: str) -> None:
    """To the same bits; and nobody else's words stand in its files."""
    shutil.copytree(created / "run", tmp_path / "run")
    redirected, status = TRAIN[kind]
    done = run(tmp_path, "train.py", redirected)
    assert "Traceback" not in done.stderr + done.stdout
    if status is None:
        assert done.returncode not in (0, 120)
        assert "error: standard output: No space left on device" in done.stderr
    else:
        assert done.returncode == status, done.stderr
    mine, theirs = states(tmp_path / "run"), states(created / "trained" / "run")
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []
    kept = files_of(created / "run")
    unchanged = [name for name in kept if name.startswith(("static", "environment"))]
    assert [n for n in unchanged if (tmp_path / "run" / n).read_bytes() != kept[n]] == []
    assert load_session(tmp_path / "run").finished


@needs_full
def test_predictions_that_nobody_reads(tmp_path: Path, created: Path) -> None:
    """Whoever reads the first line only is told nothing; no code of the user has failed."""
    shutil.copytree(created / "trained" / "run", tmp_path / "run")
    done = run(tmp_path, "infer.py", "--pipeline check | true")
    assert "error" not in done.stderr and "Traceback" not in done.stderr
    done = run(tmp_path, "infer.py", "--pipeline check >/dev/full")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("error: standard output: No space left on device\n")


EVALUATE = {
    "stdout closed": (">&-", False),
    "stdout full": (">/dev/full", False),
    "stderr closed": ("2>&-", True),
}
"""With whether the result is delivered all the same. Where it is full, nothing is buffered: each
word fails for itself, as in many containers."""


@needs_full
@pytest.mark.parametrize("kind", _few(EVALUATE, "stdout closed"))
def test_a_result_is_delivered_or_its_loss_is_told(
    tmp_path: Path, created: Path, kind: str
) -> None:
    shutil.copytree(created / "trained" / "run", tmp_path / "run")
    redirected, is_delivered = EVALUATE[kind]
    done = run(tmp_path, "evaluate.py", redirected, unbuffered="full" in kind)
    assert "Traceback" not in done.stderr + done.stdout
    if is_delivered:
        assert done.returncode == 0
        assert "val loss" in done.stdout
    else:
        assert done.returncode not in (0, 120)
        assert "standard output" in done.stderr
