"""In a notebook, training shows its progress in one output, and an interruption loses nothing."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from toy_config import Config, environment, toy_config

from torchassistant import create_session
from torchassistant.session.views.notebook_progress import (
    LINES,
    NotebookReporter,
    Page,
    default_reporter,
    is_notebook,
)
from torchassistant.training import Reporter

EPOCHS = LINES + 2

CREATE = """
import json, os, signal
import torch
from torchassistant import create_session, load_session
from torchassistant.training import Reporter

config = json.load(open("config.json"))
session = create_session(config, session_dir="whole")
session
"""

INTERRUPT = """
class Interrupting(Reporter):
    def iteration_done(self, live):
        if other.progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

other = create_session(config, session_dir="other")
other.train(callbacks=[Interrupting()])
"""

RESUME = """
print(other.progress.step, load_session("other").progress.step)
other.train(Reporter())
weights, others = session.models["net"].state_dict(), other.models["net"].state_dict()
all(torch.equal(weights[name], others[name]) for name in weights)
"""


def epochs(count: int) -> Config:
    config = toy_config()
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = count
    return config


def test_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps(epochs(EPOCHS)))
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    cells = [CREATE, "session.train()", "session", INTERRUPT, RESUME]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(
        notebook,
        timeout=100,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    created, trained, finished, interrupted, resumed = [cell.outputs for cell in notebook.cells]

    html = created[-1].data["text/html"]
    assert "Session whole" in html and "no rows yet" in html
    assert len(created) == 1

    assert [output.output_type for output in trained] == ["display_data"]
    lines = trained[0].data["text/plain"].splitlines()
    assert lines[0] == f"… {EPOCHS + 1 - LINES} lines before …"
    assert lines[-2].startswith(f"stage 1/1 epoch {EPOCHS}/{EPOCHS}  loss ")
    assert lines[-1].startswith(f"stage 1/1: {EPOCHS} epochs in ")
    assert len(lines) == LINES + 1

    assert f"finished: {EPOCHS} epochs and {4 * EPOCHS} iterations" in finished[0].data["text/html"]

    assert [output.output_type for output in interrupted] == ["display_data", "error"]
    assert interrupted[0].data["text/plain"].startswith(f"stage 1/1 epoch  1/{EPOCHS}  loss ")
    assert interrupted[1].ename == "KeyboardInterrupt"
    # The last checkpoint is that of the first epoch.
    assert [output.get("text") for output in resumed[:-1]] == ["4 4\n"]
    assert resumed[-1].data["text/plain"] == "True"


@pytest.mark.faults
def test_an_interruption_at_any_moment(tmp_path: Path) -> None:
    whole = create_session(epochs(6), session_dir=tmp_path / "whole")
    whole.train()
    moments = random.Random(5)
    for number in range(40):
        session = create_session(epochs(6), session_dir=tmp_path / str(number))
        with interrupted_after(moments.uniform(0.0005, 0.4)):
            session.train(NotebookReporter(page()[0]))
        session.train()
        assert list(session.history["step"]) == list(whole.history["step"])
        weights, others = whole.models["net"].state_dict(), session.models["net"].state_dict()
        assert all(torch.equal(weights[name], others[name]) for name in weights), number


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """What the stop button of a notebook does, after so many seconds, unless it is done by then."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- what is shown -------------------------------------------------------------------------------


def page() -> tuple[Page, list[str]]:
    shown: list[str] = []
    return Page(shown.append), shown


def test_a_page_shows_what_a_terminal_would() -> None:
    one, _ = page()
    one.write("epoch 1:  10%\repoch 1: 100%")
    assert one.text == "epoch 1: 100%"
    one.write("\r             \rdone\n\n\x1b[A\repoch 2:   0%")
    assert one.text == "done\nepoch 2:   0%"


def test_a_page_keeps_the_last_lines() -> None:
    one, _ = page()
    one.write("".join(f"line {number}\n" for number in range(LINES + 2)))
    assert one.text.splitlines()[:2] == ["… 2 lines before …", "line 2"]
    assert len(one.text.splitlines()) == LINES + 1


def test_a_page_that_changes_all_the_time_is_shown_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    one, shown = page()
    for number in range(1000):
        one.write(f"\r{number}")
        one.flush()
        now += 0.01
    assert len(shown) == pytest.approx(60, abs=2)
    one.show()
    one.show()
    assert shown[-1] == "999"
    assert shown.count("999") == 1


def test_a_run_ends_with_its_lines_and_no_bar(tmp_path: Path) -> None:
    one, shown = page()
    create_session(epochs(2), session_dir=tmp_path / "run").train(NotebookReporter(one))
    assert "0/4" in shown[0]
    assert [line[:21] for line in shown[-1].splitlines()] == [
        "stage 1/1 epoch 1/2  ",
        "stage 1/1 epoch 2/2  ",
        "stage 1/1: 2 epochs i",
    ]


# --- who shows it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "is_one"),
    [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)],
    ids=["no shell", "a terminal", "a kernel"],
)
def test_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch, shell: Any, is_one: bool) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert is_notebook() is is_one
    assert isinstance(default_reporter([0]), NotebookReporter) is is_one


def test_a_plain_program_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    create_session(epochs(1), session_dir=tmp_path / "run").train()
    assert capsys.readouterr() == ("", "")


class Counting(Reporter):
    """Counts the ends of epochs."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.closed = 0

    def epoch_finished(self, progress: Any, row: Any) -> None:
        self.epochs.append(progress.epoch)

    def close(self) -> None:
        self.closed += 1


def test_reporters_may_stand_among_the_callbacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = Counting(), Counting(), Counting()
    session = create_session(epochs(2), session_dir=tmp_path / "run")
    session.train(first, callbacks=[second, third])
    for one in (first, second, third):
        assert (one.epochs, one.closed) == ([1, 2], 1)
    # Nothing of them is stored, so nobody misses them.
    session.train()
    assert caplog.messages == []
