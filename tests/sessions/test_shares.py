"""The line of an epoch says where its time went."""

from __future__ import annotations

import re
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import torch
from toy_config import Command, Config, toy_config

from torchassistant import create_session
from torchassistant.training import Progress, Reporter, Row, Shares
from torchassistant.training.timing import DATA, FORWARD, METRICS, OTHER, DeviceTiming, Timing

SPENT = re.compile(r"  \d+\.\d s \((.+)\)$")


def slow(part: str) -> Config:
    """A config in which a part of the training takes nearly all of the time."""
    changes: dict[str, Any] = {}
    if part == "data":
        changes["points"] = {"class": "toys.Points", "kwargs": {"slowness": 0.002}}
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


@pytest.mark.parametrize("part", ["data", "forward", "backward", "optimizer"])
def test_the_line_of_an_epoch_names_what_took_the_time(
    tmp_path: Path, command: Command, part: str
) -> None:
    config = slow(part)
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 1
    create_session(config, tmp_path / "run", trust=["toys"])
    done = command("train.py", "run")
    assert done.returncode == 0, done.stderr
    shares = spent(done.stderr.rstrip())
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
    create_session(config, tmp_path / "run", trust=["toys"]).train(reporter)
    assert reporter.told[1::2] == [1, 2, 3]
    for shares in reporter.told[::2]:
        assert isinstance(shares, dict)
        assert sum(shares.values()) == pytest.approx(1)
        assert "validation" not in shares
        assert min(shares.values()) > 0


def test_no_time_is_missed_and_an_epoch_starts_from_nothing() -> None:
    timing = Timing()
    for _ in range(2):
        timing.start()
        assert timing.seconds == [0.0] * len(timing.seconds)
        began = timing.last
        sleep(0.01)
        timing.lap(DATA)
        timing.lap(FORWARD)
        sleep(0.02)
        timing.iteration_done()
        assert timing.seconds[DATA] >= 0.01
        assert timing.seconds[METRICS] >= 0.02
        assert sum(timing.seconds) == pytest.approx(timing.last - began)
        assert list(timing.shares()) == ["data", "forward", "metrics"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_time_of_the_device_counts() -> None:
    """The host launches a long forward pass at once, and waits for it in another phase."""
    timing = DeviceTiming(torch.device("cuda"))
    for _ in range(2 * DeviceTiming.EVERY + 2):
        timing.lap(DATA)
        torch.cuda._sleep(10_000_000)
        timing.lap(FORWARD)
        timing.iteration_done()
    torch.cuda.synchronize()
    timing.lap(METRICS)
    by_host = timing.seconds[METRICS]
    shares = timing.shares()
    assert by_host > timing.seconds[FORWARD]
    assert max(shares, key=lambda name: shares[name]) == "forward"
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_without_a_sample_is_timed_by_the_host() -> None:
    timing = DeviceTiming(torch.device("cuda"))
    timing.lap(DATA)
    timing.iteration_done()
    timing.lap(OTHER)
    assert list(timing.shares()) == ["data", "metrics", "other"]
