"""Training on a GPU: nothing waits for it in an iteration, and results are those of a loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    DROPOUT_NET,
    Config,
    Twin,
    batches_of,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Runs
from torch.nn.functional import mse_loss
from torch.optim import Adam

from torchassistant import create_session
from torchassistant.session.create import Draft
from torchassistant.training import Reporter
from torchassistant.training.events import Live

ITERATIONS = 1200
"""More than running means keep as single tensors."""


class NoWaiting(Reporter):
    """From the third iteration to the last of an epoch, whatever waits for the GPU raises."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.done = 0

    def iteration_done(self, live: Live) -> None:
        self.done += 1
        if self.done == 3:
            torch.cuda.set_sync_debug_mode("error")
        if self.done == self.iterations - 1:
            torch.cuda.set_sync_debug_mode("default")


class NoWaitingInValidation(Reporter):
    """From the third batch of validation to the last but one, whatever waits for the GPU raises."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.done = 0

    def batch_evaluated(self) -> None:
        self.done += 1
        if self.done == 3:
            torch.cuda.set_sync_debug_mode("error")
        if self.done == self.batches - 1:
            torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(autouse=True)
def waiting_is_allowed_again() -> Iterator[None]:
    yield
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("default")


def on_gpu(config: Config, **more: Any) -> Config:
    return {**config, "device": "cuda", **more}


# The first call in a process says that it does not see every wait.
pytestmark = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")

ADAM = {"optimizers": {"descent": trained_by(made("Adam", lr=0.01), "net")}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"precision": "bf16"},
        {"precision": "tf32"},
    ],
    ids=str,
)
@pytest.mark.parametrize("pipeline", [{}, {"gradient_accumulation": 2}], ids=str)
@pytest.mark.parametrize("workers", [0, 2])
def test_no_iteration_waits(tmp_path: Path, more: Config, pipeline: Config, workers: int) -> None:
    """Losses, clipping, the check for finite numbers, running means, steps, schedulers."""
    adam = trained_by(made("Adam", lr=0.01), "net")
    adam["lr_scheduler"] = {**made("StepLR", 5), "interval": "step"}
    groups = {
        "datasets": {"points": part("Points", 4 * ITERATIONS)},
        "loader_factories": {"batches": loader("points", 4, num_workers=workers)},
        "models": {"net": DROPOUT_NET},
        "optimizers": {"descent": adam},
        "gradient_clippers": {"clip": {"model": "net", "clip_norm": 1.0}},
    }
    config = one_model(groups, stage("fit", epochs=1), pipeline=pipeline)
    session = create_session(on_gpu(config, **more), session_dir=tmp_path / "session")
    iterations = ITERATIONS // pipeline.get("gradient_accumulation", 1)
    reporter = NoWaiting(iterations)
    session.train(reporter)
    assert reporter.done == iterations


def test_no_batch_of_validation_waits(tmp_path: Path) -> None:
    """Losses and metrics of torchmetrics; what a metric does by itself is its own affair."""
    groups = {
        "datasets": {"points": part("Points", 4 * ITERATIONS)},
        "loader_factories": {"batches": loader("points", 4)},
        "metrics": {
            "mse": {"class": "torchmetrics.MeanSquaredError", "inputs": ["y_hat", "y"]},
            "mae": {"class": "torchmetrics.MeanAbsoluteError", "inputs": ["y_hat", "y"]},
        },
    }
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error")],
        "metrics": [{"metric_name": "mse"}, {"metric_name": "mae"}],
    }
    config = one_model(groups, stage("fit", epochs=1, validation=["check"]), check=check)
    session = create_session(on_gpu(config), session_dir=tmp_path / "session")
    reporter = NoWaitingInValidation(ITERATIONS)
    session.train(reporter)
    assert reporter.done == ITERATIONS


def test_the_same_bits_as_a_loop(tmp_path: Path) -> None:
    twin = Twin(on_gpu(one_model(ADAM)), tmp_path)
    net = twin.models["net"]
    optimizer = Adam(net.parameters(), lr=0.01)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x.cuda()), y.cuda()).backward()
            optimizer.step()
    twin.check()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_a_cut_run_goes_on_exactly(tmp_path: Path, workers: int, precision: str) -> None:
    groups = {
        **ADAM,
        "models": {"net": DROPOUT_NET},
        "datasets": {"points": part("Noisy", 10)},
        "loader_factories": {"batches": loader("points", 2, shuffle=True, num_workers=workers)},
    }
    config = on_gpu(one_model(groups), precision=precision)
    Runs(config, tmp_path).check_cuts([1, 3, 5, 7])


def recurrent(**top: Any) -> Config:
    """A model whose dropout cuDNN draws."""
    return on_gpu(one_model({**ADAM, "models": {"net": part("Recurrent")}}), **top)


def test_deterministic_recurrent_layers_draw_what_is_stored(tmp_path: Path) -> None:
    Runs(recurrent(deterministic=True), tmp_path).check_cuts([1, 3])
    assert torch.backends.cudnn.enabled


def test_dropout_that_cannot_be_stored_is_told() -> None:
    told = [problem.message for problem in Draft(recurrent()).preflight().warnings]
    assert any('"deterministic": true' in message for message in told)
    told = [p.message for p in Draft(recurrent(deterministic=True)).preflight().warnings]
    assert not any("cuDNN" in message for message in told)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    from torchassistant.training import NotFinite

    groups = {
        "models": {"net": layers(layer("Linear", 4, 1))},
        "optimizers": {"descent": trained_by(made("SGD", lr=1e30), "net")},
        "datasets": {"points": part("Points", 400)},
    }
    session = create_session(on_gpu(one_model(groups)), session_dir=tmp_path / "session")
    with pytest.raises(NotFinite, match="in iteration"):
        session.train()
