"""What configs and sessions of others hold is printed, and controls no terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from toy_config import ROOT, Command, environment, toy_config, write

from torchassistant.errors import escaped_in_json, in_one_line, without_controls

CLEAR = "\x1b[2J\x1b]0;owned\x07"
ODD = f"a{CLEAR}\r\x9b1m\u202e"


def is_harmless(text: str) -> bool:
    """Whether a text has nothing that a terminal acts on but ends of lines and tabs."""
    return not any(
        (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2028"
        for c in text
    )


@given(st.text())
def test_controls_are_shown(text: str) -> None:
    assert is_harmless(without_controls(text))
    line = in_one_line(text)
    assert len(f"{line}x".splitlines()) == 1
    assert json.loads(escaped_in_json(json.dumps(text, ensure_ascii=False))) == text


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "M"])))
def test_other_text_stays(text: str) -> None:
    assert in_one_line(text) == text


def test_the_way_through_every_command(tmp_path: Path, command: Command) -> None:
    """Names and folders of others, through check, init, train, evaluate and their tables."""
    config = toy_config()
    config["session_dir"] = f"runs/{ODD}"
    pipelines = config["initialize"]["pipelines"]
    stage = config["train"]["stages"][0]
    for old, new in (("fit", f"fit{ODD}"), ("check", f"check\nsession x created{ODD}")):
        pipelines[new] = pipelines.pop(old)
    stage["training_pipelines"], stage["validation_pipelines"] = [[n] for n in pipelines]
    file = write(tmp_path / f"c{CLEAR}.json", config)
    done = [command("-m", "torchassistant", "check", "--complete", file)]
    done.append(command("init.py", file))
    done.append(command("train.py", f"runs/{ODD}"))
    done.append(command("evaluate.py", f"runs/{ODD}"))
    done.append(command("evaluate.py", f"runs/{ODD}x"))
    for one in done:
        assert is_harmless(one.stdout), one.args
        assert is_harmless(one.stderr), one.args
        assert "session x created" not in one.stdout.splitlines()
    assert [one.returncode for one in done] == [0, 0, 0, 0, 2]


def test_a_config_from_a_pipe(tmp_path: Path) -> None:
    """A person may type ``<(…)`` or /dev/stdin."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "init.py"), "/dev/stdin", "--set", "session_dir=run"],
        cwd=tmp_path,
        env=environment(),
        input=json.dumps(toy_config()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "run")
