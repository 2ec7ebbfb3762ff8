"""Odd names, a working directory that is gone: each is answered with a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_config import ROOT, environment, toy_config, write
from warm_commands import WarmCommands

from torchassistant import create_session
from torchassistant.errors import SessionError, shown_path
from torchassistant.session import Session, SessionFolder

NO_TEXT = os.fsdecode(b"\xff\xfe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, warm_commands: WarmCommands) -> Path:
    """A working directory with a session that is named in odd letters."""
    folder = tmp_path_factory.mktemp("work")
    write(folder / "config.json", toy_config())
    words = ("config.json", "--no-preflight", "--set", "session_dir=--ünï\n\x1b[31m☃")
    made = warm_commands.run("init.py", *words, cwd=folder, env=environment())
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == "session --ünï\\n\\x1b[31m☃ created\n"
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "train --limit-batches 1",
        "evaluate",
        "report",
        "graph",
        "infer --pipeline check",
        "export --format safetensors -o exported",
        "log --to tensorboard",
    ],
)
def test_sessions_of_odd_names(folder: Path, warm_commands: WarmCommands, command: str) -> None:
    (session,) = (path.name for path in folder.iterdir() if path.name.startswith("--"))
    words = ("-m", "torchassistant", *command.split(), "--", session)
    done = warm_commands.run(*words, cwd=folder, env=environment())
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\\n\\x1b[31m☃" in done.stdout or command.split()[0] not in ("report", "train", "log")


@pytest.mark.parametrize("command", ["train", "evaluate", "export --format safetensors -o new"])
def test_a_session_whose_path_is_no_text(
    folder: Path, warm_commands: WarmCommands, command: str
) -> None:
    """What reads tensors opens no such path: nothing is damaged."""
    (session,) = (path for path in folder.iterdir() if path.name.startswith("--"))
    shutil.copytree(session, folder / NO_TEXT, dirs_exist_ok=True)
    words = ("-m", "torchassistant", *command.split(), NO_TEXT)
    done = warm_commands.run(*words, cwd=folder, env=environment())
    assert done.returncode == 2
    shown = f"{folder}/\\udcff\\udcfe"
    assert done.stderr == f"error: {shown}: the path of a session has to be UTF-8 text\n"


def test_a_session_made_from_a_place_that_is_no_text(
    folder: Path, warm_commands: WarmCommands
) -> None:
    here = folder / f"{NO_TEXT} cwd"
    here.mkdir()
    config = here / f"{NO_TEXT}.json"
    config.write_text(json.dumps(toy_config()))
    words = ("init.py", config.name, "--no-preflight", "--set", f"session_dir={folder}/made")
    done = warm_commands.run(*words, cwd=here, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    stored = json.loads((folder / "made" / "environment.json").read_text())
    assert stored["working_directory"].endswith("\\udcff\\udcfe cwd")
    assert stored["command"][1] == "\\udcff\\udcfe.json"

    words = ("-m", "torchassistant", "export", f"{folder}/made", "--format", "safetensors")
    done = warm_commands.run(*words, "-o", NO_TEXT, cwd=here, env=environment())
    assert done.returncode == 2
    assert done.stderr.endswith(": the path of an export has to be UTF-8 text\n")


@pytest.mark.parametrize(
    "called", [["-m", "torchassistant", "runs"], [str(ROOT / "train.py"), "/"]]
)
def test_a_working_directory_that_is_gone(tmp_path: Path, called: list[str]) -> None:
    here = tmp_path / "here"
    here.mkdir()
    script = 'rmdir "$PWD"; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, *called],
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: the working directory is gone; cd to one that is there\n"


def test_a_working_directory_that_goes_during_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert shown_path(tmp_path / "here" / "run") == "run"
    here.rmdir()
    assert shown_path(tmp_path / "run") == str(tmp_path / "run")


def test_two_that_make_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second is told so, also where the other was faster at the last moment."""
    write_new = Session.write_new

    def faster(session: Session, folder: SessionFolder) -> None:
        monkeypatch.undo()
        create_session(toy_config(), tmp_path / "run", preflight=False)
        write_new(session, folder)

    monkeypatch.setattr(Session, "write_new", faster)
    with pytest.raises(SessionError, match="exists already"):
        create_session(toy_config(), tmp_path / "run", preflight=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_hints_can_be_typed(tmp_path: Path, warm_commands: WarmCommands) -> None:
    words = ("-m", "torchassistant", "new", "regression", "--", "-my project")
    done = warm_commands.run(*words, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    assert "\n  cd './-my project'\n" in done.stdout
