"""A new session in the place of an old one: the old one is there until the new one is whole."""

from __future__ import annotations

import ctypes
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_config import ROOT, Command, environment, files_of, toy_config, write

import torchassistant
from torchassistant.errors import ConfigError, Interrupted, SessionError
from torchassistant.session.files import durable_files


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An old session, with something in it that a new one has not."""
    path = torchassistant.create_session(toy_config(), tmp_path / "run", preflight=False).path
    (path / "changes.jsonl").write_text("")
    return path


def replaced(run: Path, config: Any = None, **options: Any) -> torchassistant.session.Session:
    config = toy_config() if config is None else config
    options = {"preflight": False, "replace": "run", **options}
    return torchassistant.create_session(config, run, **options)


def is_old(run: Path) -> bool:
    """Whether the old session is there; else the new one is, and each is whole."""
    assert torchassistant.load_session(run).progress.step == 0
    return (run / "changes.jsonl").exists()


def test_the_new_one_takes_its_place(run: Path) -> None:
    session = replaced(run)
    assert session.path == run
    assert not is_old(run)
    session.train()
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    replaced(run).train()
    assert torchassistant.load_session(run).finished


def test_where_there_is_none_it_is_made(tmp_path: Path) -> None:
    assert replaced(tmp_path / "run").path.is_dir()


@pytest.mark.parametrize("name", ["", "other", "RUN", "../run", "run "])
def test_another_name_replaces_nothing(run: Path, name: str) -> None:
    before = files_of(run)
    with pytest.raises(SessionError, match='is named "run", and not'):
        replaced(run, replace=name)
    assert files_of(run) == before


def test_what_cannot_be_made_replaces_nothing(run: Path) -> None:
    before = files_of(run)
    bad = toy_config(net={"class": "toys.Net", "kwargs": {"nothing": 1}})
    with pytest.raises(ConfigError, match="no argument"):
        replaced(run, bad)
    bad = toy_config(adam={"class": "Adam", "model": "net", "kwargs": {"lr": "fast"}})
    with pytest.raises(ConfigError, match="not supported between"):
        replaced(run, bad)
    assert files_of(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_what_is_no_whole_session_of_its_own_is_left(run: Path) -> None:
    (run / "thesis.txt").write_text("all of it")
    with pytest.raises(SessionError, match='not part of the session, "thesis'):
        replaced(run)
    (run / "thesis.txt").unlink()
    for inside in ("metrics/plot.png", "checkpoints/best.pt"):
        (run / inside).write_text("all of it")
        with pytest.raises(SessionError, match=f'not part of the session, "{inside}"'):
            replaced(run)
        (run / inside).unlink()
    (run / "static" / "link").symlink_to(run.parent)
    with pytest.raises(SessionError, match="is a link"):
        replaced(run)
    (run / "static" / "link").unlink()
    (run.parent / "alias").symlink_to(run)
    with pytest.raises(SessionError, match="alias is a link to"):
        replaced(run.parent / "alias", replace="alias")
    (run / "environment.json").unlink()
    with pytest.raises(SessionError, match="not a complete session"):
        replaced(run)
    shutil.rmtree(run)
    run.mkdir()
    (run / "thesis.txt").write_text("all of it")
    with pytest.raises(SessionError, match="exists already, and is not a session"):
        replaced(run)
    assert (run / "thesis.txt").read_text() == "all of it"


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that cannot exchange two names in one step."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: object())


def test_without_an_exchange_of_names(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_exchange(monkeypatch)
    replaced(run)
    assert not is_old(run)
    assert [path.name for path in run.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_failure_at_the_last_moment(
    run: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    before = files_of(run)
    if can_exchange:

        def fail(one: Path, other: Path) -> None:
            raise OSError("no")

        monkeypatch.setattr(durable_files, "_exchange", fail)
    else:
        without_exchange(monkeypatch)
        rename = Path.rename

        def stumble(self: Path, target: Path) -> Path:
            if self.name.startswith(".aside-"):
                raise OSError("no")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", stumble)
    with pytest.raises(OSError, match="no"):
        replaced(run)
    assert files_of(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_signal_behind_the_last_moment_says_so(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree = shutil.rmtree

    def interrupted(path: Path, **options: Any) -> None:
        monkeypatch.setattr(shutil, "rmtree", rmtree)
        raise Interrupted(signal.SIGTERM, "nothing was changed")

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(Interrupted, match="is whole by now"):
        replaced(run)
    assert not is_old(run)
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_who_is_killed_loses_nothing(run: Path) -> None:
    program = (
        "import os, signal, torchassistant\n"
        "from toy_config import toy_config\n"
        "from torchassistant.session.files import durable_files\n"
        "exchange = durable_files._exchange\n"
        "def dying(one, other):\n"
        "    exchange(one, other)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "durable_files._exchange = dying\n"
        "torchassistant.create_session(toy_config(), 'run', preflight=False, replace='run')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=run.parent, env=environment(), check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not is_old(run)
    (aside,) = [path for path in run.parent.iterdir() if path != run]
    assert is_old(aside)


def test_it_is_not_taken_from_who_trains_it(run: Path) -> None:
    program = (
        "import fcntl, sys\n"
        "file = open('run/environment.json', 'r+')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('trains', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=run.parent,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "trains\n"
        before = files_of(run)
        with pytest.raises(SessionError, match=f"is being trained by process {process.pid}"):
            replaced(run)
        assert files_of(run) == before
        process.communicate("done\n")


def test_the_ways_on_are_told(run: Path, command: Command) -> None:
    config = write(run.parent / "config.json", toy_config())
    done = command("init.py", config)
    assert done.returncode == 2
    assert "train.py resumes it" in done.stderr
    assert '"session_dir" creates a new one elsewhere' in done.stderr
    assert "--replace run starts over" in done.stderr
    done = command("init.py", config, "--replace")
    assert done.returncode == 2
    assert "--replace run confirms it" in done.stderr
    assert is_old(run)


def test_the_name_is_asked_for_at_a_terminal(run: Path) -> None:
    config = write(run.parent / "config.json", toy_config())
    ours, theirs = pty.openpty()
    os.write(ours, b"run\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "init.py"), config, "--replace", "--no-preflight"],
        cwd=run.parent,
        env=environment(),
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert "type its name (run): " in done.stderr
    assert done.returncode == 0
    assert not is_old(run)
