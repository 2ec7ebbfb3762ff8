"""``train --overfit`` and ``train --limit-batches``: the real loop, and nothing is kept of it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Command, Config, files_of, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.errors import Interrupted
from torchassistant.session import Session, overfit, try_out
from torchassistant.training import Live, Reporter, StopRequest

TOYS = ["toys"]


def jittered(net: str = "toys.Net", lr: float = 0.0, **more: Any) -> Config:
    """Data that is other numbers each time; a scheduler, which takes the rate down at once."""
    config = toy_config(
        points={"class": "toys.Jittered"},
        net={"class": net},
        adam={
            "class": "Adam",
            "model": "net",
            "kwargs": {"lr": lr},
            "lr_scheduler": {"class": "ExponentialLR", "kwargs": {"gamma": 0.01}},
        },
    )
    config["train"]["stages"][0] |= more
    return config


def session_of(config: Config, folder: Path) -> Session:
    return create_session(config, folder / "run", trust=TOYS, preflight=False)


class Counter(Reporter):
    """Counts iterations and batches of validation, of each epoch."""

    def __init__(self) -> None:
        self.iterations: list[int] = []
        self.evaluated: list[int] = []

    def epoch_started(self, progress: Any, iterations: int | None) -> None:
        self.said = iterations
        self.iterations.append(0)
        self.evaluated.append(0)

    def iteration_done(self, live: Live) -> None:
        self.iterations[-1] += 1

    def batch_evaluated(self) -> None:
        self.evaluated[-1] += 1


def test_both_leave_the_session_as_it_is(tmp_path: Path, command: Command) -> None:
    config = toy_config(adam={"class": "Adam", "model": "net", "kwargs": {"lr": 0.1}})
    write(tmp_path / "c.json", config)
    assert command("init.py", "c.json").returncode == 0
    created = files_of(tmp_path)
    done = command("train.py", "run", "--overfit", "2", "--passes", "60")
    assert done.returncode == 0, done.stderr
    passes = [line.split()[1] for line in done.stderr.splitlines()]
    assert passes == ["1", "2", "5", "10", "20", "50"]
    said, left = done.stdout.splitlines()
    assert said.startswith("the same 2 batches, 60 passes: loss ")
    first, _, last = said.rpartition(" loss ")[2].split()
    assert float(last) < float(first) / 50
    assert left == "nothing was stored; session run is as it was"
    done = command("train.py", "run", "--limit-batches", "1")
    assert done.stdout.splitlines()[0] == "3 epochs of at most 1 batch went through"
    assert "val loss" in done.stderr
    assert files_of(tmp_path) == created

    assert command("train.py", "run").returncode == 0
    again = create_session(config, tmp_path / "other", trust=TOYS, preflight=False)
    again.train()
    tried = load_session(tmp_path / "run", trust=TOYS)
    for name, tensor in again.models["net"].state_dict().items():
        assert torch.equal(tensor, tried.models["net"].state_dict()[name])
    assert tried.history.drop(columns="seconds").equals(again.history.drop(columns="seconds"))
    done = command("train.py", "run", "--limit-batches", "1")
    assert "is finished; there is nothing to try" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--passes", "3"], "--passes belongs to --overfit N"),
        (["--overfit", "1", "--profile"], "--overfit stores nothing, and so --profile"),
        (["--overfit", "0"], "must be a whole number of at least 1; found '0'"),
        (["--overfit", "1", "--limit-batches", "1"], "not allowed with argument"),
    ],
)
def test_options_that_do_not_go_together(command: Command, arguments: list[str], said: str) -> None:
    done = command("train.py", "run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("net", ["toys.Net", "toys.InPlace"])
def test_the_same_batches_come_again_to_the_bit(tmp_path: Path, net: str) -> None:
    rows = overfit(session_of(jittered(net), tmp_path), 2, 4)
    assert len({row["loss"] for row in rows}) == 1
    assert "val loss" not in rows[0]


def test_schedulers_rest(tmp_path: Path) -> None:
    session = session_of(jittered(lr=0.05), tmp_path)
    session.train()
    losses = [float(row["loss"] or 0) for row in overfit(session, 1, 30)]
    assert losses[-1] < losses[0] / 2


def test_a_run_that_has_begun_is_tried_out_to_its_end(tmp_path: Path) -> None:
    session = session_of(jittered(lr=0.05), tmp_path)
    stop = StopRequest()

    class Ending(Reporter):
        def iteration_done(self, live: Live) -> None:
            stop.signum = signal.SIGINT if session.progress.step == 6 else None

    with pytest.raises(Interrupted):
        session.train(Ending(), stop)
    before = files_of(tmp_path)
    counter = Counter()
    rows = try_out(session, 2, counter)
    assert counter.iterations == [2, 2]
    assert counter.evaluated == [2, 2]
    assert [row["epoch"] for row in rows] == [2, 3]
    assert files_of(tmp_path) == before


def test_epochs_that_are_counted_in_iterations(tmp_path: Path) -> None:
    config = jittered(epoch_length=7)
    config["train"]["stages"][0]["training_pipelines"] = [
        {"pipeline": "fit", "when_exhausted": "restart"}
    ]
    counter = Counter()
    try_out(session_of(config, tmp_path), 3, counter)
    assert counter.iterations == [3, 3, 3]
    losses = {
        row["loss"] for row in overfit(load_session(tmp_path / "run", trust=TOYS), 3, 3, counter)
    }
    assert counter.iterations == [3] * 6
    assert len(losses) == 1


def test_stages_evaluators_and_columns_of_callbacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = jittered(lr=0.05)
    config["initialize"]["definitions"] += [
        {"group": "evaluators", "name": "counting", "spec": {"class": "toys.Counting"}},
        {"group": "callbacks", "name": "rates", "spec": {"class": "LearningRateMonitor"}},
    ]
    first = config["train"]["stages"][0]
    first["evaluators"] = [
        {"evaluator": "counting", "models": {"net": "net"}, "loader_factory": "checking"}
    ]
    second = {**first, "start_from": {"stage": 0, "checkpoint": "last"}}
    config["train"] = {"callbacks": ["rates"], "stages": [first, second]}
    counter = Counter()
    rows = try_out(session_of(config, tmp_path), 1, counter)
    assert len(rows) == 6
    assert rows[0]["counting/batches"] == 1
    assert rows[0]["lr/adam"] is None
    assert "stage 2 would start from a stored state" in capsys.readouterr().err


def test_a_loss_that_does_not_fall_gets_a_hint(tmp_path: Path, command: Command) -> None:
    write(tmp_path / "c.json", jittered())
    assert command("init.py", "c.json", "--no-preflight").returncode == 0
    done = command("train.py", "run", "--overfit", "1", "--passes", "2")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith('hint: "loss" has hardly fallen. ')


def test_an_interruption_leaves_it_too(tmp_path: Path) -> None:
    session = session_of(jittered(lr=0.05), tmp_path)
    before = files_of(tmp_path)
    stop = StopRequest()
    stop.signum = signal.SIGINT
    with pytest.raises(Interrupted):
        overfit(session, 2, 3, None, stop)
    assert files_of(tmp_path) == before
