"""The line of an epoch says where its time went."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import torch
from toy_config import Command, Config, toy_config

from torchassistant import create_session
from torchassistant.training import Progress, Reporter, Row, Shares
from torchassistant.training.events import Phase, Phases
from torchassistant.training.timing import PHASES, VALIDATION, DeviceTiming, Timing

SPENT = re.compile(r"  \d+\.\d s \((.+)\)$")


def slow(part: str) -> Config:
    """A config in which a part of the training takes nearly all of the time."""
    changes: dict[str, Any] = {}
    if part == "data":
        changes["points"] = {"class": "toys.Points", "kwargs": {"slowness": 0.02}}
    elif part == "optimizer":
        kwargs = {"lr": 0.01, "slowness": 0.05}
        changes["adam"] = {"class": "toys.SlowAdam", "model": "net", "kwargs": kwargs}
    else:
        changes["net"] = {"class": "toys.SlowNet", "kwargs": {part: 0.05}}
    return toy_config(**changes)


def spent(line: str) -> dict[str, int]:
    """The percentages at the end of a line."""
    found = SPENT.search(line)
    assert found is not None, line
    parts = (part.rpartition(" ") for part in found[1].split(", "))
    return {name: int(percent.removesuffix("%")) for name, _, percent in parts}


@pytest.mark.parametrize(
    "part",
    [
        "data",
        "backward",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("forward", "optimizer")),
    ],
)
def test_the_line_of_an_epoch_names_what_took_the_time(
    tmp_path: Path, command: Command, part: str
) -> None:
    config = slow(part)
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 1
    create_session(config, tmp_path / "run", trust=["toys"])
    done = command("train.py", "run", "--timing")
    assert done.returncode == 0, done.stderr
    of_epoch, of_stage = done.stderr.splitlines()
    shares = spent(of_epoch)
    assert of_stage.split(", ")[1].startswith(part)
    assert max(shares, key=lambda name: shares[name]) == part
    phases = ["data", "forward", "backward", "optimizer", "metrics", "validation", "checkpoint"]
    assert [name for name in shares if name != "other"] == phases
    header = (tmp_path / "run/metrics/0.csv").read_text().splitlines()[0]
    assert header == "epoch,step,loss,val loss,seconds"


class Listening(Reporter):
    """Keeps what it is told of the time."""

    def __init__(self) -> None:
        self.told: list[Shares | int] = []

    def epoch_timed(self, shares: Shares) -> None:
        self.told.append(shares)

    def epoch_finished(self, progress: Progress, row: Row) -> None:
        self.told.append(progress.epoch)


def test_a_reporter_hears_the_shares_before_each_end_of_an_epoch(tmp_path: Path) -> None:
    config = toy_config()
    config["train"]["stages"][0]["validation_pipelines"] = []
    reporter = Listening()
    session = create_session(config, tmp_path / "run", trust=["toys"])
    session.train(reporter)
    assert reporter.told[1::2] == [1, 2, 3]
    for shares in reporter.told[::2]:
        assert isinstance(shares, dict)
        assert sum(shares.values()) == pytest.approx(1)
        assert "validation" not in shares
        assert min(shares.values()) > 0
    # The seconds stand beside the rows. The state is saved after a row, on the time of the next.
    header = ["stage", "epoch", "step", "time", *PHASES]
    noted = session.rows.times_after(0)[0]
    for number, (row, times) in enumerate(zip(session.rows.rows(0), noted, strict=True)):
        assert list(times) == header
        spent = sum(float(times[phase] or 0) for phase in PHASES)
        assert float(row["seconds"] or 0) <= spent + 0.001
        assert (times["checkpoint"] or 0) == 0 if number == 0 else (times["checkpoint"] or 0) > 0


NOTHING: Any = None


def step(timing: Timing, forward: Callable[[], None] = lambda: None) -> None:
    """The events of a step."""
    timing.step_started(NOTHING)
    timing.batches_received(NOTHING)
    forward()
    timing.losses_computed(NOTHING, NOTHING)
    timing.gradients_computed(NOTHING, NOTHING)
    timing.step_finished(NOTHING)


def test_an_epoch_starts_from_nothing_and_misses_no_time() -> None:
    timing = Timing()
    for _ in range(2):
        timing.start()
        timing.mark = iter([1.0, 1.25, 1.5, 1.75, 2.75]).__next__
        step(timing)
        with Phases([timing]).during(Phase.VALIDATION):
            sleep(0.01)
        assert timing.seconds[:4] == [0.25, 0.25, 0.25, 1.0]
        assert timing.seconds[VALIDATION] >= 0.01
        assert list(timing.shares()) == ["data", "forward", "backward", "optimizer", "validation"]
        timing.start()
        sleep(0.01)
        assert timing.shares() == {"other": 1.0}


def test_what_was_taken_is_taken_once() -> None:
    timing = Timing()
    timing.mark = iter([1.0, 1.25, 1.5, 1.75, 2.75, 3.0, 4.0, 4.0, 4.0, 4.0]).__next__
    step(timing)
    first = timing.take()
    assert (first["data"], first["optimizer"], first["validation"]) == (0.25, 1.0, 0.0)
    assert list(first) == list(PHASES)
    with Phases([timing]).during(Phase.CHECKPOINT):
        sleep(0.01)
    assert "checkpoint" in timing.shares()
    timing.start()
    step(timing)
    second = timing.take()
    assert (second["data"], second["optimizer"]) == (1.0, 0.0)
    assert second["checkpoint"] >= 0.01, "what came after the last row"
    assert timing.take()["checkpoint"] == 0


def iterate(timing: Timing, count: int) -> None:
    """Steps that a CUDA device works on in the forward pass, and the host nowhere."""
    for _ in range(count):
        step(timing, forward=lambda: torch.cuda._sleep(10_000_000))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_time_of_the_device_counts() -> None:
    """The host is done with the iterations at once, and waits for the device in the validation."""
    timing = DeviceTiming(torch.device("cuda"))
    iterate(timing, 2 * DeviceTiming.EVERY)
    with Phases([timing]).during(Phase.VALIDATION):
        pass
    shares = timing.shares()
    assert timing.waited > sum(timing.seconds)
    assert max(shares, key=lambda name: shares[name]) == "forward"
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_without_a_sample_is_timed_by_the_host() -> None:
    timing = DeviceTiming(torch.device("cuda"))
    iterate(timing, 1)
    assert not any(timing.sampled)
    assert {"data", "forward", "backward", "optimizer"} <= set(timing.shares())
