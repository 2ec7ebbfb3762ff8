"""``torchassistant completion``: what real shells make of its scripts, without starting Python."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_config import Command, environment

from torchassistant.cli.arguments import SHELLS, SUMMARIES

ASKED = {
    "tra": {"train"},
    "train --over": {"--overfit"},
    "train ses": {"sessions/"},
    "init con": {"config.json"},
    "evaluate sessions --checkpoint b": {"best"},
    "log sessions --to m": {"mlflow"},
    "new seg": {"segmentation"},
}
"""The beginnings of commands, and how their last words may go on."""

BASH = """
source ./script
while IFS= read -r line; do
    COMP_LINE="torchassistant $line" COMP_WORDS=(torchassistant $line)
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_POINT=${#COMP_LINE} COMPREPLY=()
    $(complete -p torchassistant | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    echo "${COMPREPLY[*]}"
done
"""


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"needs {shell}")


@pytest.fixture
def folder(tmp_path: Path, command: Command) -> Path:
    """A folder with something to complete."""
    (tmp_path / "sessions").mkdir()
    (tmp_path / "config.json").touch()
    return tmp_path


def script(command: Command, shell: str, path: Path) -> None:
    done = command("-m", "torchassistant", "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(done.stdout)


@needs("bash")
def test_bash(folder: Path, command: Command) -> None:
    script(command, "bash", folder / "script")
    done = subprocess.run(
        ["bash", "-c", BASH],
        input="".join(f"{line}\n" for line in ASKED),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [set(line.split()) for line in done.stdout.splitlines()]
    # Bash itself adds the slash.
    assert found == [{word.rstrip("/") for word in words} for words in ASKED.values()]


@needs("fish")
def test_fish(folder: Path, command: Command) -> None:
    script(command, "fish", folder / "script")
    asked = "".join(f"complete -C 'torchassistant {line}'; echo ----;" for line in ASKED)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source script; {asked}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    parts = done.stdout.split("----\n")[:-1]
    found = [{line.partition("\t")[0] for line in part.splitlines()} for part in parts]
    assert found == list(ASKED.values())


@needs("zsh")
def test_zsh(folder: Path, command: Command) -> None:
    script(command, "zsh", folder / "_torchassistant")
    pid, master = pty.fork()
    if not pid:
        os.chdir(folder)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "xterm", "HOME": "."})
    try:
        os.write(master, b"PS1=; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D\n")
        os.write(master, b'torchassistant() { print -r -- "<$*>" }; echo rea""dy\n')
        read_until(master, "\nready")
        for line, (word,) in ASKED.items():
            os.write(master, f"torchassistant {line}\t".encode())
            while select.select([master], [], [], 0.3)[0]:  # it does not complete what is pasted
                os.read(master, 4096)
            os.write(master, b"\n")
            said = read_until(master, ">").rpartition("<")[2]
            # A slash that it has added goes again where the line ends.
            assert said == f"{line.rpartition(' ')[0]} {word.rstrip('/')}>".lstrip()
    finally:
        os.close(master)
        os.waitpid(pid, 0)


def read_until(master: int, end: str) -> str:
    """What a shell prints, up to a text."""
    text = ""
    while end not in text:
        assert select.select([master], [], [], 20)[0], text
        text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]|\r", "", text + os.read(master, 4096).decode())
    return text[: text.index(end) + len(end)]


def test_every_command_is_completed_and_torch_stays_out() -> None:
    code = (
        "import sys; from torchassistant.cli import main; main(['completion', 'fish']); "
        "print(*(name for name in sys.modules if name == 'torch'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    *lines, modules = done.stdout.splitlines()
    assert modules == ""
    for name in SUMMARIES:
        assert any(re.search(rf"-a '?{name}\b", line) for line in lines), name


@pytest.mark.parametrize("arguments", [[], ["tcsh"]])
def test_another_shell_is_a_mistake(command: Command, arguments: list[str]) -> None:
    done = command("-m", "torchassistant", "completion", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments == [] or all(shell in done.stderr for shell in SHELLS)
