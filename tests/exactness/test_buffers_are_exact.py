"""Buffers of models that a pipeline runs and does not train: kept, or moved."""

from __future__ import annotations

from pathlib import Path

import pytest
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    layer,
    loader,
    loss,
    made,
    node,
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Runs
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session
from torchassistant.session.preflight import preflight


def with_queue(**of_queue: str) -> Config:
    """A student after a queue that nothing trains."""
    groups = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"queue": made("stage_parts.Queue"), "student": layer("Linear", 4, 1)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "student")},
        "losses": {"error": {**made("MSELoss"), "inputs": ["said", "y"]}},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("queue", "x", "h", **of_queue),
                    node("student", "h", "said", "descent"),
                ]
            }
        },
    }
    pipeline = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}
    return config(groups, {"fit": pipeline}, stage("fit"))


@pytest.mark.parametrize("how", ["keep", "move"])
def test_a_queue(tmp_path: Path, how: str) -> None:
    twin = Twin(with_queue(buffers=how), tmp_path)
    queue, student = twin.models["queue"], twin.models["student"]
    optimizer = SGD(student.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            before = queue.rows.clone()
            optimizer.zero_grad()
            mse_loss(student(queue(x)), y).backward()
            optimizer.step()
            if how == "keep":
                queue.rows.copy_(before)
    twin.check(unchanged=["queue"] if how == "keep" else [])


def test_a_trained_model_may_keep_its_buffers(tmp_path: Path) -> None:
    """The weights learn, in train mode, and the queue stays empty."""
    spec = with_queue(buffers="keep", optimizer_name="other")
    other = {"class": "SGD", "model": "queue", "kwargs": {"lr": 0.05}}
    spec["initialize"]["definitions"].append(
        {"group": "optimizers", "name": "other", "spec": other}
    )
    twin = Twin(spec, tmp_path)
    queue, student = twin.models["queue"], twin.models["student"]
    optimizer = SGD([*queue.parameters(), *student.parameters()], lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(student(queue(x)), y).backward()
            optimizer.step()
            queue.rows.zero_()
    twin.check()


def test_what_moved_is_resumed(tmp_path: Path) -> None:
    Runs(with_queue(buffers="move"), tmp_path).check_cuts()


@pytest.mark.parametrize(("said", "warned"), [({}, 1), ({"buffers": "keep"}, 0)])
def test_a_buffer_that_is_put_back_is_told(tmp_path: Path, said: Config, warned: int) -> None:
    warnings = preflight(create_session(with_queue(**said), session_dir=tmp_path / "run")).warnings
    assert len(warnings) == warned
    for warning in warnings:
        assert 'the model "queue" is not trained here' in warning.message
        assert 'put back after it ("rows")' in warning.message
        assert warning.place.path.endswith("neural_graph[0]")
