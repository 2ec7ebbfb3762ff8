"""What a person sees on a terminal: commands on a pty, and what a terminal makes of it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pyte
import pytest
from toy_config import Config, environment, pipeline, toy_config

from torchassistant import create_session
from torchassistant.cli.next_steps import next_steps
from torchassistant.terminal import has_colours, is_terminal, painted, width_of

WIDE = "検証の正解率"
BAR = re.compile(r"^1/2 epoch [12]/2: +\d+%\|.*\| ")


class Seen(NamedTuple):
    """What is seen in the end, the last lines that were seen meanwhile, and what came in."""

    lines: list[str]
    meanwhile: list[str]
    screen: pyte.Screen
    raw: bytes
    status: int

    def colours(self, text: str) -> set[str]:
        """The colours of a text on the screen."""
        for y, line in enumerate(self.screen.display):
            x = line.find(text)
            if x >= 0:
                return {self.screen.buffer[y][column].fg for column in range(x, x + len(text))}
        raise AssertionError(f"{text} is not seen")


def seen(folder: Path, columns: int, *arguments: str, **env: str) -> Seen:
    """Run a command on a terminal."""
    pid, master = pty.fork()
    if not pid:
        os.chdir(folder)
        called = [sys.executable, "-m", "torchassistant", *arguments]
        whole = {**environment(), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env}
        whole.pop("NO_COLOR" if "NO_COLOR" not in env else "", None)
        os.execvpe(sys.executable, called, whole)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    screen = pyte.Screen(columns, 40)
    stream = pyte.ByteStream(screen)
    raw, meanwhile = b"", []
    while select.select([master], [], [], 60)[0]:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        raw += data
        # Each line that is drawn over another is seen, however late it is read.
        for part in re.split(rb"(?=\r(?!\n))", data):
            stream.feed(part)
            meanwhile += [line.rstrip() for line in screen.display if line.strip()][-1:]
    os.close(master)
    _, status = os.waitpid(pid, 0)
    lines = [line.rstrip() for line in screen.display if line.strip()]
    return Seen(lines, meanwhile, screen, raw, os.waitstatus_to_exitcode(status))


def long_names() -> Config:
    """Two stages, and names that do not fit into 80 columns."""
    config = toy_config(points={"class": "toys.Points", "kwargs": {"slowness": 0.015, "count": 24}})
    config["initialize"]["definitions"] += [
        {
            "group": "metrics",
            "name": name,
            "spec": {"class": name, "inputs": ["y_hat", "y"]},
        }
        for name in ("MeanAbsoluteError", "R2Score")
    ]
    check: Any = pipeline("checking", "validation mean squared error")
    check["metrics"] = [
        {"metric_name": "MeanAbsoluteError", "display_name": "validation mean absolute error"},
        {"metric_name": "R2Score", "display_name": WIDE},
    ]
    config["initialize"]["pipelines"]["check"] = check
    stage = config["train"]["stages"][0]
    stage["stop_condition"]["kwargs"]["num_epochs"] = 2
    config["train"]["stages"] = [{**stage, "name": name} for name in ("warming up", "fine")]
    return config


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminal")
    for columns in (40, 80):
        create_session(long_names(), folder / f"a {columns}", trust=["toys"], preflight=False)
    return folder


@pytest.mark.parametrize("columns", [pytest.param(40, marks=pytest.mark.slow), 80])
def test_a_run_on_a_terminal(created: Path, columns: int) -> None:
    """No line is broken, and none of the bar is left."""
    name = f"a {columns}"
    found = seen(created, columns, "train", name)
    assert found.status == 0, found.lines
    epochs = [line for line in found.lines if re.match("[12]/2", line)]
    assert [line.split("  ")[0] for line in epochs] == [
        "1/2: 1/2",
        "1/2: 2/2",
        "2/2: 1/2",
        "2/2: 2/2",
    ]
    places = {line.index("squ") for line in epochs}
    assert len(places) == 1
    if columns == 80:
        assert all("absolut" in line and line.endswith(" s") for line in epochs)
        # A letter of East Asia is followed by an empty column.
        assert all("検証" in line.replace(" ", "") for line in epochs)
        first = epochs[0].partition("squared ")[2].split()[0]
        assert first.endswith("*")
        assert found.colours(first) == {"green"}
    else:
        assert all(line.endswith("+2") for line in epochs)
    bars = [line for line in found.meanwhile if BAR.match(line)]
    assert bars
    # How full it was when it was last drawn depends on the machine; how wide it is does not.
    assert min(len(line.split("|")[1]) for line in bars) >= 8
    assert any("█" in line for line in bars)
    assert not any("|" in line for line in found.lines)
    after = found.lines[found.lines.index(epochs[-1]) + 1 :]
    assert after[0].startswith("stage 2/2 (fine): 2 epochs in ")
    said = " ".join(after[1:])
    assert f"torchassistant evaluate '{name}'" in said
    if columns == 80:
        assert any("stage 00:0" in line for line in bars)


def test_a_mistake_is_red_unless_nobody_wants_colours(tmp_path: Path) -> None:
    found = seen(tmp_path, 80, "runs", "nowhere")
    assert (found.status, found.lines) == (2, ["error: nowhere is not a folder"])
    assert found.colours("error:") == {"red"}
    assert found.colours("nowhere") == {"default"}
    assert b"\x1b" not in seen(tmp_path, 80, "runs", "nowhere", NO_COLOR="1").raw
    assert b"\x1b" not in seen(tmp_path, 80, "runs", "nowhere", TERM="dumb").raw


def test_what_a_stream_can_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "file").open("w") as file:
        assert not is_terminal(file)
        assert painted("text", "red", file) == "text"
        assert width_of(file) == 80
    assert not is_terminal(file)
    assert width_of(file) == 80
    terminal: Any = SimpleNamespace(isatty=lambda: True)
    assert is_terminal(terminal)
    assert painted("text", "red", terminal) == "\x1b[31mtext\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert is_terminal(terminal)
    assert not has_colours(terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(terminal)


def test_what_may_come_next(tmp_path: Path) -> None:
    config = toy_config()
    config["inference"] = {"inputs_meta": [{"input_converter": {"class": "toys.NumberToRow"}}]}
    session = create_session(config, tmp_path / "it's", trust=["toys"], preflight=False)
    steps = [line.strip() for line in next_steps(session)]
    assert steps[0] == "next:"
    assert steps[-1].startswith("torchassistant infer ") and steps[-1].endswith("'\"'\"'s' INPUT")
