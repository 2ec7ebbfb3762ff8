"""What happens in a stage is one closed list of events; who hears none costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from toy_config import Config, toy_config

from torchassistant import create_session
from torchassistant.training import Listener, Reporter
from torchassistant.training.events import Part, Parts, handlers_of

EVENTS = [name for name in vars(Listener) if not name.startswith("_")]

STEP = [
    "step_started",
    "batch_loaded",
    "batches_received",
    "losses_computed",
    "gradients_computed",
    "gradients_final",
    "step_finished",
    "iteration_done",
]
EVALUATION = [
    "evaluation_started",
    "measuring_started",
    *("batch_measured", "batch_evaluated"),
    *("evaluation_measured", "evaluation_finished"),
]
PHASE = ["phase_started", "phase_finished"]
EPOCH = [
    "epoch_started",
    *(*STEP, *STEP, "step_started", "pass_finished"),
    *(*PHASE, "phase_started", *EVALUATION, "phase_finished", *PHASE, *PHASE),
    *("epoch_timed", "epoch_finished"),
]
"""Of two steps; metrics, validation, schedulers and checkpoint are phases."""


def config_of(accumulated: int = 1) -> Config:
    """Two steps an epoch, each over so many batches, for two epochs."""
    training = {"dataset": "parts.train", "kwargs": {"batch_size": 12 // accumulated}}
    config = toy_config(points={"class": "toys.Points", "kwargs": {"count": 32}}, training=training)
    config["initialize"]["pipelines"]["fit"]["gradient_accumulation"] = accumulated
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 2
    return config


def recorder(heard: list[str], *events: str) -> Reporter:
    """A reporter that overrides some events."""

    def method(name: str) -> Callable[..., None]:
        return lambda self, *args: heard.append(name)

    return type("Recorder", (Reporter,), {name: method(name) for name in events})()


@pytest.mark.parametrize("accumulated", [1, 2])
def test_events_come_in_the_order_of_the_loop(tmp_path: Path, accumulated: int) -> None:
    heard: list[str] = []
    hot = {"part_started", "part_finished"}
    session = create_session(config_of(accumulated), tmp_path / "run", trust=["toys"])
    session.train(recorder(heard, *(name for name in EVENTS if name not in hot)))
    assert heard.count("losses_computed") == 4 * accumulated
    assert heard.count("batch_accumulated") == 4 * (accumulated - 1)
    # Batches come one by one: of a step that accumulates, and of an evaluation.
    order = [name for name, _ in groupby(n for n in heard if n != "batch_accumulated")]
    assert order == ["stage_started", *EPOCH, *EPOCH, "stage_finished"]


def test_parts_come_in_pairs_and_inside_one_another(tmp_path: Path) -> None:
    open_parts: list[tuple[Part, str]] = []
    seen: set[tuple[str, ...]] = set()

    class Pairs(Reporter):
        def part_started(self, part: Part, name: str) -> None:
            open_parts.append((part, name))
            seen.add(tuple(part.value for part, _ in open_parts))

        def part_finished(self, part: Part, name: str) -> None:
            assert open_parts.pop() == (part, name)

    create_session(config_of(), tmp_path / "run", trust=["toys"]).train(Pairs())
    assert open_parts == []
    assert seen == {
        ("pipeline",),
        ("pipeline", "data"),
        ("pipeline", "processor"),
        ("pipeline", "processor", "node"),
        ("pipeline", "loss"),
        ("pipeline", "backward"),
        ("pipeline", "optimizer"),
        ("processor",),
        ("processor", "node"),
        ("loss",),
    }


@pytest.mark.parametrize("name", EVENTS)
def test_only_what_is_overridden_is_called(name: str) -> None:
    listeners: list[Any] = [Listener(), recorder([], name), object()]
    assert handlers_of(listeners, getattr(Listener, name)) == (getattr(listeners[1], name),)
    assert handlers_of(listeners[:1], getattr(Listener, name)) == ()


def test_a_call_that_nobody_hears_of_stays_what_it_is() -> None:
    assert Parts([Listener()]).around(print, Part.NODE, "a") is print
    assert Parts([Listener()]).of_graph is None


def test_a_part_that_raises_is_over() -> None:
    heard: list[str] = []
    parts = Parts([recorder(heard, "part_started", "part_finished")])
    with pytest.raises(ZeroDivisionError):
        parts.around(lambda: 1 / 0, Part.BACKWARD)()
    assert heard == ["part_started", "part_finished"]
