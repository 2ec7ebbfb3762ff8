"""``train.py --profile``: a trace with names in it, and the same results to the bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import create_autospec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.profiler import ProfilerAction
from toy_config import ROOT, Command, Config, environment, toy_config

from torchassistant import create_session, load_session
from torchassistant.errors import Interrupted, SessionError
from torchassistant.session import train_profiled
from torchassistant.training import Reporter, Reporters, StopRequest
from torchassistant.training.events import Live
from torchassistant.training.profiler_names import coded, decoded
from torchassistant.training.profiler_schedule import Window

TOYS = ["toys"]


def config_of(count: int, epochs: int = 2, workers: int = 0) -> Config:
    """Training on three quarters of so many points, in batches of 8; names that are no ASCII."""
    config = toy_config(
        points={"class": "toys.Jittered", "kwargs": {"count": count}},
        net={"class": "toys.Net", "kwargs": {"dropout": 0.3}},
        training={"dataset": "parts.train", "kwargs": {"batch_size": 8, "num_workers": workers}},
    )
    node = config["initialize"]["definitions"][-1]["spec"]["neural_graph"][0]
    node["name"] = 'a "node" of\tmine: узел'
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = epochs
    return config


def results(run: Path) -> tuple[list[bytes], list[str]]:
    """The weights at the end of a run, and its history without the seconds."""
    newest = sorted((run / "checkpoints").iterdir())[-1]
    rows = (run / "metrics/0.csv").read_text().splitlines()
    weights = [path.read_bytes() for path in sorted((newest / "models").iterdir())]
    return weights, [row.rpartition(",")[0] for row in rows]


class Span(NamedTuple):
    """A named stretch of a trace, in microseconds."""

    begin: float
    end: float

    def holds(self, other: Span) -> bool:
        return self.begin <= other.begin and other.end <= self.end


def spans(trace: Path) -> dict[str, list[Span]]:
    """The spans of a trace by name."""
    found: dict[str, list[Span]] = {}
    for event in json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]:
        if event.get("cat") == "user_annotation" and event["ph"] == "X":
            span = Span(event["ts"], event["ts"] + event["dur"])
            found.setdefault(event["name"], []).append(span)
    return found


def traces(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "profile").iterdir())


NODE = 'node "a "node" of\tmine: узел"'
NESTED = {
    "data": ['pipeline "fit"'],
    'processor "processor"': ['pipeline "fit"', 'validation "check"'],
    NODE: ['processor "processor"'],
    'loss "loss"': ['pipeline "fit"'],
    'loss "val loss"': ['validation "check"'],
    "backward": ['pipeline "fit"'],
    'optimizer "adam"': ['pipeline "fit"'],
    "Optimizer.step#Adam.step": ['optimizer "adam"'],
}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_trace_names_what_runs_and_changes_nothing(
    tmp_path: Path, command: Command, workers: int
) -> None:
    for name in ("run", "plain"):
        session = create_session(config_of(40, workers=workers), tmp_path / name, trust=TOYS)
    session.train()
    done = command("train.py", "run", "--profile")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "run") == results(tmp_path / "plain")

    epoch, told, last, _ = done.stderr.splitlines()
    assert told == "a trace is in run/profile/step-4.json; https://ui.perfetto.dev opens it"
    assert [line[:18] for line in (epoch, last)] == [f"stage 1/1 epoch {n}/" for n in (1, 2)]
    assert traces(tmp_path / "run") == ["step-4.json"]
    found = spans(tmp_path / "run/profile/step-4.json")
    for name, homes in NESTED.items():
        for span in found[name]:
            assert span.end > span.begin
            assert any(home.holds(span) for name in homes for home in found[name]), name


def test_a_trace_without_validation_is_written_while_the_epoch_goes_on(tmp_path: Path) -> None:
    session = create_session(config_of(320, epochs=1), tmp_path / "run", trust=TOYS)
    reporter = Watching(session)
    train_profiled(session, reporter)
    assert [step for step, _ in reporter.heard] == [18]
    found = spans(tmp_path / "run/profile/step-18.json")
    assert len(found['pipeline "fit"']) == 10
    assert 'validation "check"' not in found


class Watching(Reporter):
    """Keeps what it is told, with the step; asks for an end after an iteration."""

    def __init__(self, session: Any, until: int | None = None) -> None:
        self.session = session
        self.until = until
        self.stop = StopRequest()
        self.heard: list[tuple[int, str]] = []

    def iteration_done(self, live: Live) -> None:
        if self.session.progress.step == self.until:
            self.stop.signum = signal.SIGINT

    def noted(self, sentence: str) -> None:
        self.heard.append((self.session.progress.step, sentence))


def test_an_interrupted_run_writes_what_it_has(tmp_path: Path) -> None:
    for name in ("run", "plain"):
        session = create_session(config_of(320), tmp_path / name, trust=TOYS)
    session.train()
    session = load_session(tmp_path / "run", trust=TOYS)
    reporter = Watching(session, until=13)
    with pytest.raises(Interrupted):
        train_profiled(session, reporter, reporter.stop)
    first = tmp_path / "run/profile/step-13.json"
    assert len(spans(first)['optimizer "adam"']) == 5
    before = first.read_bytes()

    # The rest of the epoch is shorter than what is passed over, warmed up and recorded.
    train_profiled(load_session(tmp_path / "run", trust=TOYS))
    assert traces(tmp_path / "run") == ["step-13.json", "step-30.json"]
    assert 'validation "check"' in spans(tmp_path / "run/profile/step-30.json")
    assert first.read_bytes() == before
    assert results(tmp_path / "run") == results(tmp_path / "plain")


def test_no_trace_is_overwritten(tmp_path: Path) -> None:
    """A run that died has written one at this step, and lost what it had trained."""
    session = create_session(config_of(32, epochs=1), tmp_path / "run", trust=TOYS)
    (tmp_path / "run/profile").mkdir()
    (tmp_path / "run/profile/step-3.json").write_text("of an earlier run")
    train_profiled(session)
    assert (tmp_path / "run/profile/step-3.json").read_text() == "of an earlier run"
    assert traces(tmp_path / "run") == ["step-3-1.json", "step-3.json"]
    assert len(spans(tmp_path / "run/profile/step-3-1.json")['optimizer "adam"']) == 1


def test_a_run_that_ends_too_early_says_that_there_is_no_trace(tmp_path: Path) -> None:
    session = create_session(config_of(320), tmp_path / "run", trust=TOYS)
    reporter = Watching(session, until=6)
    with pytest.raises(Interrupted):
        train_profiled(session, reporter, reporter.stop)
    said = "no trace was written: the run ended before an iteration was recorded"
    assert reporter.heard == [(6, said)]
    assert not (tmp_path / "run/profile").exists()


def test_training_goes_on_where_the_trace_cannot_be_written(tmp_path: Path) -> None:
    session = create_session(config_of(40), tmp_path / "run", trust=TOYS)
    (tmp_path / "run/profile").write_text("not a folder")
    reporter = Watching(session)
    train_profiled(session, reporter)
    ((_, said),) = reporter.heard
    assert said.startswith("error: the trace could not be written: ")
    assert session.finished


def test_no_trace_is_written_through_a_link(tmp_path: Path) -> None:
    session = create_session(config_of(40), tmp_path / "run", trust=TOYS)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run/profile").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SessionError, match="profile is a link"):
        train_profiled(session)
    assert session.progress.step == 0


@given(st.integers(1, 60))
def test_a_window_ends_within_its_epoch(steps: int) -> None:
    window = Window.ending_by(steps)
    actions = [window(step) for step in range(steps + 3)]
    kept = [a for a in actions if a in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)]
    assert len(kept) == window.active
    assert actions.index(ProfilerAction.RECORD_AND_SAVE) == window.steps - 1 < steps
    assert set(actions[window.steps :]) == {ProfilerAction.NONE}
    assert actions.count(ProfilerAction.WARMUP) == window.warmup
    assert window.steps == min(steps, Window().steps)


@given(st.text())
def test_any_name_comes_through_a_trace(name: str) -> None:
    written = json.dumps({"name": coded(name), "of": "torch"}).encode()
    assert json.loads(decoded(written)) == {"name": name, "of": "torch"}


@pytest.mark.parametrize("name", [name for name in dir(Reporter) if not name.startswith("_")])
def test_several_reporters_hear_all_that_one_hears(name: str) -> None:
    arguments = list(signature(getattr(Reporter(), name)).parameters)
    reporters = [create_autospec(Reporter, instance=True) for _ in range(2)]
    getattr(Reporters(*reporters), name)(*arguments)
    for reporter in reporters:
        getattr(reporter, name).assert_called_once_with(*arguments)


def test_on_a_terminal_the_trace_is_told_on_a_line_of_its_own(tmp_path: Path) -> None:
    create_session(config_of(320, epochs=1), tmp_path / "run", trust=TOYS)
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "run", "--profile"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # Linux answers so when nobody can write any more
        while part := os.read(master, 1024):
            shown += part
    os.close(master)
    assert process.wait() == 0, shown
    lines = [line.rpartition("\r")[2] for line in shown.decode().split("\r\n")]
    assert "a trace is in run/profile/step-18.json; https://ui.perfetto.dev opens it" in lines
