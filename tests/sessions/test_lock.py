"""One trainer a session; a dead process holds nothing, and its workers hold nothing for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from toy_config import ROOT, environment, files_of, toy_config

import torchassistant
from torchassistant.errors import SessionError
from torchassistant.session.folder.lock import only_trainer


def slow(workers: int = 0) -> dict[str, object]:
    kwargs = {"batch_size": 8, "num_workers": workers}
    return toy_config(
        points={"class": "toys.Points", "kwargs": {"slowness": 0.05}},
        training={"dataset": "parts.train", "kwargs": kwargs},
    )


@contextmanager
def trainer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of training."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "run"],
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "epoch 1/3" in process.stderr.readline()
        yield process


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_who_trains_is_named_and_holds_nothing_once_killed(tmp_path: Path, workers: int) -> None:
    session = torchassistant.create_session(slow(workers), tmp_path / "run", preflight=False)
    with trainer(tmp_path) as process:
        with pytest.raises(SessionError, match=f"by process {process.pid}$"):
            session.train()
        process.kill()
        process.wait()
        with only_trainer(session.folder.environment):
            pass


def test_what_was_trained_meanwhile_is_not_trained_again(tmp_path: Path) -> None:
    first = torchassistant.create_session(toy_config(), tmp_path / "run", preflight=False)
    second = torchassistant.load_session(first.path)
    first.train()
    before = files_of(first.path)
    second.train()
    assert second.finished
    assert files_of(first.path) == before


def test_many_at_once_have_one_winner(tmp_path: Path) -> None:
    torchassistant.create_session(slow(), tmp_path / "run", preflight=False)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from torchassistant.session.folder.lock import only_trainer\n"
        "from torchassistant.errors import SessionError\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    with only_trainer(Path('run/environment.json')):\n"
        "        print('won', flush=True)\n"
        "        sys.stdin.readline()\n"
        "except SessionError as error:\n"
        "    print(error, flush=True)\n"
    )
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in crowd:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = []
    for process in crowd:
        assert process.stdout is not None
        told.append(process.stdout.readline().strip())
    # The winner holds it until all have been told.
    for process in crowd:
        process.communicate()
    assert told.count("won") == 1
    winner = crowd[told.index("won")].pid
    assert all(text.endswith(f"by process {winner}") for text in told if text != "won")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    session = torchassistant.create_session(toy_config(), tmp_path / "run", preflight=False)
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "run" / "environment.json").unlink()
    os.symlink(tmp_path / "elsewhere", tmp_path / "run" / "environment.json")
    with pytest.raises(SessionError, match=r"environment.json is a link"):
        session.train()


class Interrupted(set[str]):
    """An interruption comes right after something was added."""

    def add(self, element: str) -> None:
        super().add(element)
        raise KeyboardInterrupt


def test_an_interruption_while_it_is_taken_leaves_it_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "environment.json"
    file.touch()
    held = Interrupted()
    monkeypatch.setattr("torchassistant.session.folder.lock._held", held)
    with pytest.raises(KeyboardInterrupt), only_trainer(file):
        pass
    assert not held
