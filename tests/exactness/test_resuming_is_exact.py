"""A run that was interrupted and goes on ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Groups,
    assert_equal,
    feed,
    graph,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
    weights,
    without_seconds,
)
from exact_parts import Told

from torchassistant import create_session, load_session
from torchassistant.errors import Interrupted
from torchassistant.session import Session
from torchassistant.training import Reporter, StopRequest
from torchassistant.training.events import Live

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "train.py"


class Interrupting(Reporter):
    """Asks for an end after a number of iterations, or of batches of validation."""

    def __init__(self, iterations: int = 0, evaluated: int = 0) -> None:
        self.left = {"iterations": iterations, "evaluated": evaluated}
        self.stop = StopRequest()

    def iteration_done(self, live: Live) -> None:
        self.count("iterations")

    def batch_evaluated(self) -> None:
        self.count("evaluated")

    def count(self, what: str) -> None:
        self.left[what] -= 1
        if self.left[what] == 0:
            self.stop.signum = signal.SIGINT


def interrupted(config: Config, folder: Path, iterations: int = 0, evaluated: int = 0) -> Session:
    """A session that was stopped, as it is in memory."""
    session = create_session(config, session_dir=folder)
    reporter = Interrupting(iterations, evaluated)
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
    return session


def assert_same_end(one: Session, other: Session) -> None:
    """Weights, optimizers, schedulers, progress and history are the same, bit for bit."""
    assert_equal(weights(one.models), weights(other.models))
    for name, optimizer in one.optimizers.items():
        assert_alike(optimizer.state_dict(), other.optimizers[name].state_dict())
    for name, item in one.schedulers.items():
        theirs = other.schedulers[name].scheduler
        assert_alike(item.scheduler.state_dict(), theirs.state_dict())
    assert one.finished and one.progress == other.progress
    assert without_seconds(one.path) == without_seconds(other.path)


def assert_alike(one: Any, other: Any) -> None:
    """State of any depth; tensors bit for bit, and of one dtype."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, Sequence) and not isinstance(one, str):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_alike(mine, theirs)
    else:
        assert one == other


def resumes(config: Config, folder: Path, validation: Sequence[str] = ()) -> None:
    """A run of four epochs of 3 iterations, and the same interrupted in its third."""
    config["train"]["stages"] = [stage("fit", epochs=4, validation=validation)]
    plain = create_session(config, session_dir=folder / "plain")
    plain.train()
    interrupted(config, folder / "interrupted", iterations=8)
    session = load_session(folder / "interrupted")
    assert session.progress.epoch == 2
    session.train()
    assert_same_end(session, plain)


def demanding(workers: int, every_epochs: int = 1, adapter: Config | None = None) -> Config:
    """Two stages of 3 and 2 epochs of 3 iterations, which use all that has a state.

    Shuffled data with noise from three generators, dropout, batch norm, Adam, two schedulers; one
    validation pipeline of 3 batches.
    """
    groups: Groups = {
        "datasets": {"points": part("Augmented", 10)},
        "loader_factories": {"batches": loader("points", shuffle=True, num_workers=workers)},
        "models": {"net": part("Regressor", norm=True, dropout=0.3)},
        "optimizers": {
            "descent": {
                **trained_by(made("Adam", lr=0.01), "net"),
                "lr_scheduler": {**made("OneCycleLR", 0.1, total_steps=15), "interval": "step"},
            },
            "late descent": {
                **trained_by(made("SGD", lr=0.01, momentum=0.9), "net"),
                "lr_scheduler": made("ExponentialLR", gamma=0.5),
            },
        },
        "batch_processors": {
            "run": {
                "neural_graph": [node("net", "x", "y_hat", "descent")],
                "input_adapter": adapter,
            },
            "late run": {"neural_graph": [node("net", "x", "y_hat", "late descent")]},
        },
        "batch_graphs": {"early": {"nodes": ["run"]}, "late": {"nodes": ["late run"]}},
    }
    inputs = [feed("batches", "x y")]
    pipelines: dict[str, Any] = {
        "late fit": {"graph": "late", "input_factories": inputs, "losses": [loss("error")]},
        "check": {
            "graph": "late",
            "input_factories": inputs,
            "losses": [loss("error", loss_display_name="held out")],
        },
    }
    stages = [stage("fit", epochs=3, validation=["check"]), stage("late fit", epochs=2)]
    config = one_model(groups, *stages, pipeline={"graph": "early"}, **pipelines)
    return {**config, "checkpoints": {"every_epochs": every_epochs}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Session]:
    """The demanding run without interruption, with 0 and with 2 workers."""
    sessions = {}
    for workers in (0, 2):
        folder = tmp_path_factory.mktemp("undisturbed") / "session"
        sessions[workers] = create_session(demanding(workers), session_dir=folder)
        sessions[workers].train()
    return sessions


MOMENTS = {
    "in the first epoch": {"iterations": 2},
    "in the second epoch": {"iterations": 5},
    "at the last iteration of an epoch": {"iterations": 6},
    "in validation": {"evaluated": 4},
    "at the end of validation": {"evaluated": 6},
    "at the start of the second stage": {"iterations": 10},
    "in the last epoch": {"iterations": 14},
}


@pytest.mark.parametrize(
    ("moment", "workers"),
    [*((moment, 0) for moment in MOMENTS), ("in validation", 2)],
)
def test_an_interrupted_run_goes_on_to_the_same_end(
    tmp_path: Path, undisturbed: dict[int, Session], moment: str, workers: int
) -> None:
    interrupted(demanding(workers), tmp_path / "session", **MOMENTS[moment])
    session = load_session(tmp_path / "session")
    assert not session.finished
    session.train()
    assert_same_end(session, undisturbed[workers])


@pytest.mark.parametrize("iterations", [5, 8, 14])
def test_epochs_that_were_not_saved_are_run_again(
    tmp_path: Path, undisturbed: dict[int, Session], iterations: int
) -> None:
    """Their rows do not stand twice in the history."""
    interrupted(demanding(0, every_epochs=2), tmp_path / "session", iterations)
    session = load_session(tmp_path / "session")
    session.train()
    assert_same_end(session, undisturbed[0])


def test_the_stop_condition_is_told_of_the_rows_before_the_interruption(tmp_path: Path) -> None:
    Told.calls.clear()
    ends = stage("fit", stop_condition=part("Told", 4))
    interrupted(one_model({}, ends), tmp_path / "session", iterations=8)
    session = load_session(tmp_path / "session")
    session.train()
    rows = session.history.drop(columns="stage").to_dict("records")
    assert Told.calls == [(epoch, rows[:epoch]) for epoch in (1, 2, 3, 4)]


def test_a_run_may_be_interrupted_again_and_again(
    tmp_path: Path, undisturbed: dict[int, Session]
) -> None:
    create_session(demanding(0), session_dir=tmp_path / "session")
    for _ in range(3):
        session = load_session(tmp_path / "session")
        reporter = Interrupting(iterations=4)
        with pytest.raises(Interrupted):
            session.train(reporter, reporter.stop)
    session = load_session(tmp_path / "session")
    assert (session.progress.epoch, session.progress.step) == (3, 12)
    session.train()
    assert_same_end(session, undisturbed[0])


def test_the_session_in_memory_goes_on_to_the_same_end(
    tmp_path: Path, undisturbed: dict[int, Session]
) -> None:
    """As after Ctrl-C in a notebook: ``train()`` once more."""
    session = interrupted(demanding(0), tmp_path / "session", iterations=5)
    session.train()
    assert_same_end(session, undisturbed[0])


def test_persistent_workers(tmp_path: Path) -> None:
    groups: Groups = {
        "datasets": {"points": part("Augmented", 10)},
        "loader_factories": {"batches": loader("points", num_workers=2, persistent_workers=True)},
    }
    resumes(one_model(groups), tmp_path)


def test_a_loss_with_a_state(tmp_path: Path) -> None:
    error = {**part("CentredError"), "inputs": ["y_hat", "y"]}
    resumes(one_model({"losses": {"error": error}}), tmp_path)


def test_a_batch_processor_of_ones_own_with_a_state(tmp_path: Path) -> None:
    """A module with batch norm: its buffers count in validation."""
    groups: Groups = {
        "batch_processors": {
            "norm": part("Normed", 4),
            "run": {"neural_graph": [node("net", "x", "y_hat", "descent")]},
        },
        "batch_graphs": {"row": graph("points", norm="points", run="norm")},
    }
    fit: Config = {
        "losses": [loss("error", "run")],
        "input_factories": [feed("batches", "x y", "points")],
    }
    resumes(one_model(groups, pipeline=fit), tmp_path, validation=["fit"])


OPTIMIZERS = [
    made("SGD", lr=0.01, momentum=0.9, nesterov=True),
    made("Adam", lr=0.01, amsgrad=True),
    made("AdamW", lr=0.01),
    *(
        made(f"torch.optim.{name}", lr=0.01)
        for name in (
            "Adadelta",
            "Adafactor",
            "Adagrad",
            "Adamax",
            "ASGD",
            "NAdam",
            "RAdam",
            "RMSprop",
            "Rprop",
        )
    ),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda spec: spec["class"])
def test_the_state_of_every_optimizer_of_torch(tmp_path: Path, optimizer: Config) -> None:
    resumes(one_model({"optimizers": {"descent": trained_by(optimizer, "net")}}), tmp_path)


SCHEDULERS = [
    made("StepLR", 1),
    made("MultiStepLR", [1, 2]),
    made("ReduceLROnPlateau", patience=0, threshold=0.5),
    made("CyclicLR", 0.01, 0.1, step_size_up=2),
    made("CosineAnnealingWarmRestarts", T_0=2),
    made("LambdaLR", part("Halving")),
    made("ChainedScheduler", [made("ConstantLR"), made("ExponentialLR", gamma=0.9)]),
    made("SequentialLR", [made("LinearLR"), made("CosineAnnealingLR", T_max=2)], milestones=[1]),
]


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda spec: spec["class"])
def test_the_state_of_schedulers_of_torch(tmp_path: Path, scheduler: Config, interval: str) -> None:
    listens = {"monitor": "error"} if scheduler["class"] == "ReduceLROnPlateau" else {}
    descent = {
        **trained_by(made("SGD", lr=0.05, momentum=0.5), "net"),
        "lr_scheduler": {**scheduler, **listens, "interval": interval},
    }
    resumes(one_model({"optimizers": {"descent": descent}}), tmp_path)


def test_from_the_command_line(tmp_path: Path) -> None:
    """Ctrl-C, and the same command again; against a run within Python, without interruption."""
    config = demanding(2, adapter=part("Slowly", "net", 0.03))
    plain = create_session(config, session_dir=tmp_path / "plain")
    plain.train()
    create_session(config, session_dir=tmp_path / "session")
    command = [sys.executable, str(TRAIN), "session"]
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    where: dict[str, Any] = {
        "cwd": tmp_path,
        "env": {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TORCHASSISTANT_TRUST": "exact_parts",
        },
        "text": True,
    }

    with subprocess.Popen(command, stderr=subprocess.PIPE, **where) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 1/3" in line:
                process.send_signal(signal.SIGINT)
                break
        process.stderr.read()
    assert process.returncode == 130
    stopped = load_session(tmp_path / "session")
    assert 1 <= stopped.progress.epoch < 5
    done = subprocess.run(command, capture_output=True, check=False, **where)
    assert done.returncode == 0, done.stderr
    assert_same_end(load_session(tmp_path / "session"), plain)
