"""Ports that are fed by what another pipeline has met, by hand."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    graph,
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
from exact_runs import Cut, Runs, assert_same_bits
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError, Interrupted
from torchassistant.training import steps_of_optimizer
from torchassistant.training.evaluation.linked_data import evaluation_data_of

COUNT = 26
"""Examples: 7 batches of 4, the last of which has 2."""


def linked(
    *turns: Any,
    link: Config | None = None,
    more: Config | None = None,
    workers: int = 0,
    **of_stage: Any,
) -> Config:
    """A teacher that learns from points, and a student that learns what the teacher said."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", COUNT), "others": part("Points", 38, seed=2)},
        "loader_factories": {
            name: loader(name, num_workers=workers) for name in ("points", "others")
        },
        "models": {name: layer("Linear", 4, 1) for name in ("teacher", "student")},
        "optimizers": {
            name: trained_by(made("SGD", lr=0.05), name) for name in ("teacher", "student")
        },
        "losses": {
            "error": {**made("MSELoss"), "inputs": ["y_hat", "y"]},
            "distance": {**made("MSELoss"), "inputs": ["guess", "said"]},
            "other error": {**made("MSELoss"), "inputs": ["guess", "b"]},
        },
        "batch_processors": {
            "teaching": {"neural_graph": [node("teacher", "x", "y_hat", "teacher")]},
            "learning": {"neural_graph": [node("student", "x", "guess", "student")]},
            "beside": {"neural_graph": [node("student", "a", "guess", "student")]},
        },
        "batch_graphs": {
            "of teacher": {"nodes": ["teaching"]},
            "of student": graph("lesson", learning="lesson"),
            "of both": graph("lesson others", learning="lesson", beside="others"),
        },
    }
    pipelines: dict[str, Any] = {
        "teach": {
            "graph": "of teacher",
            "input_factories": [feed("points", "x y")],
            "losses": [loss("error")],
        },
        "learn": {
            "graph": "of student",
            "input_factories": [
                link
                or {
                    "from_pipeline": "teach",
                    "node": "teaching",
                    "variable_names": {"y_hat": "said"},
                }
            ],
            "losses": [loss("distance", "learning")],
            **(more or {}),
        },
    }
    return config(groups, pipelines, stage(*(turns or ("teach", "learn")), epochs=2, **of_stage))


class ByHand:
    """The same by hand."""

    def __init__(self, twin: Twin) -> None:
        self.teacher, self.student = twin.models["teacher"], twin.models["student"]
        self.of_teacher = SGD(self.teacher.parameters(), lr=0.05)
        self.of_student = SGD(self.student.parameters(), lr=0.05)

    def teach(self, x: Any, y: Any) -> Any:
        self.of_teacher.zero_grad()
        said = self.teacher(x)
        mse_loss(said, y).backward()
        self.of_teacher.step()
        return x, said.detach()

    def learn(self, x: Any, said: Any) -> None:
        self.of_student.zero_grad()
        mse_loss(self.student(x), said).backward()
        self.of_student.step()


def test_the_frame_of_a_node(tmp_path: Path) -> None:
    twin = Twin(linked(), tmp_path)
    loop = ByHand(twin)
    for _ in range(2):
        for x, y in batches_of(Points(COUNT)):
            loop.learn(*loop.teach(x, y))
    twin.check()
    assert twin.session.progress.step == 14


def test_the_last_batch_of_a_turn_and_sitting_out(tmp_path: Path) -> None:
    """It is taken again for each step, and where the other does not run there is none."""
    turns = [
        {"pipeline": "teach", "repeat": 2, "every": 2},
        {"pipeline": "learn", "repeat": 3},
    ]
    twin = Twin(linked(*turns), tmp_path)
    loop = ByHand(twin)
    number = 0
    for _ in range(2):
        batches = list(batches_of(Points(COUNT)))
        while batches:
            if number % 2 == 0:
                for x, y in batches[:2]:
                    met = loop.teach(x, y)
                del batches[:2]
                for _ in range(3):
                    loop.learn(*met)
            number += 1
    twin.check()
    assert twin.session.progress.step == number


def test_columns_can_be_dropped(tmp_path: Path) -> None:
    names = {"y_hat": "said", "y": "_"}
    link = {"from_pipeline": "teach", "node": "teaching", "variable_names": names}
    twin = Twin(linked(link=link), tmp_path)
    loop = ByHand(twin)
    for _ in range(2):
        for batch in batches_of(Points(COUNT)):
            loop.learn(*loop.teach(*batch))
    twin.check()
    frames = next(iter(evaluation_data_of(twin.session.pipelines["learn"]).frames(0)))
    assert list(frames["lesson"]) == ["x", "said"]


def test_one_that_ends_with_its_source(tmp_path: Path) -> None:
    """A loader of its own that lasts longer does not keep the epoch from ending."""
    more = {
        "graph": "of both",
        "input_factories": [
            {
                "input_alias": "lesson",
                "from_pipeline": "teach",
                "node": "teaching",
                "variable_names": {"y_hat": "said"},
            },
            feed("others", "a b", "others"),
        ],
        "losses": [loss("distance", "learning"), loss("other error", "beside")],
    }
    twin = Twin(linked(more=more), tmp_path)
    loop = ByHand(twin)
    for _ in range(2):
        pairs = zip(batches_of(Points(COUNT)), batches_of(Points(38, seed=2)), strict=False)
        for (x, y), (a, b) in pairs:
            x, said = loop.teach(x, y)
            loop.of_student.zero_grad()
            (mse_loss(loop.student(x), said) + mse_loss(loop.student(a), b)).backward()
            loop.of_student.step()
    twin.check()
    assert twin.session.progress.step == 14
    Runs(linked(more=more), tmp_path / "runs").check_all_cuts_in_one()


class CutInIteration(Cut):
    """Asks for an end after a step, when the next pipeline waits for its batch."""

    def step_finished(self, pipeline: Any) -> None:
        self.iteration -= 1
        if self.iteration == 0:
            self.stop.signum = signal.SIGINT

    def iteration_done(self, live: Any) -> None:
        """Nothing is asked for here."""


def test_an_iteration_is_finished(tmp_path: Path) -> None:
    """What the teacher has met is not stored, and so the student has to take it."""
    more = {
        "graph": "of both",
        "input_factories": [
            {
                "input_alias": "lesson",
                "from_pipeline": "teach",
                "variable_names": {"y": "said"},
            },
            feed("others", "a b", "others"),
        ],
        "losses": [loss("distance", "learning"), loss("other error", "beside")],
    }
    runs = Runs(linked(more=more, workers=1), tmp_path)
    path = runs.copy(tmp_path / "created", "cut")
    cut = CutInIteration(5)
    with pytest.raises(Interrupted):
        load_session(path).train(cut, cut.stop)
    session = load_session(path)
    assert session.progress.step == 3
    session.train()
    assert_same_bits(path, runs.plain)


@pytest.mark.parametrize("length", ["longest", "shortest", "learn", 5])
def test_where_an_epoch_ends(tmp_path: Path, length: str | int) -> None:
    session = create_session(linked(epoch_length=length), session_dir=tmp_path / "run")
    steps = steps_of_optimizer(session.stages[0], session.optimizers["student"])
    session.train()
    expected = 10 if length == 5 else 14
    assert session.progress.step == steps == expected


def test_evaluation_runs_the_other_pipeline(tmp_path: Path) -> None:
    session = Twin(linked(), tmp_path).session
    points = Points(COUNT)
    with torch.no_grad():
        said = session.models["teacher"](points.x)
        expected = mse_loss(session.models["student"](points.x), said).item()
    assert session.evaluate(["learn"])["distance"] == pytest.approx(expected, abs=1e-6)


WRONG = {
    "no column": (
        {"from_pipeline": "teach", "variable_names": {"z": "said"}},
        'no column "z", which variable_names gives another name; the columns are "x", "y"',
    ),
    "one name for two columns": (
        {"from_pipeline": "teach", "node": "teaching", "variable_names": {"x": "y"}},
        'two columns would be named "y"',
    ),
    "one name for two columns by the config": (
        {"from_pipeline": "teach", "variable_names": {"x": "said", "y": "said"}},
        'the column "said" is named twice',
    ),
    "no pipeline": (
        {"from_pipeline": "taech"},
        'no pipeline is named "taech"; did you mean "teach"',
    ),
    "no node": (
        {"from_pipeline": "teach", "node": "teachin"},
        'that pipeline has no node "teachin"; did you mean "teaching"',
    ),
    "itself": ({"from_pipeline": "learn"}, 'the pipeline "learn" feeds itself'),
    "both": (
        {"from_pipeline": "teach", "loader_factory": "points"},
        'only one of "loader_factory" and "from_pipeline" can be given',
    ),
    "neither": ({"variable_names": ["x", "said"]}, 'one of "loader_factory" and "from_pipeline"'),
    "a list of names": (
        {"from_pipeline": "teach", "variable_names": ["x", "said"]},
        "an object gives others, by their own",
    ),
    "names of a loader by an object": (
        {"loader_factory": "points", "variable_names": {"input_1": "x"}},
        "named by a list",
    ),
    "a node of a loader": (
        {"loader_factory": "points", "node": "teaching"},
        '"node" belongs to "from_pipeline"',
    ),
    "beginning anew": (
        {"from_pipeline": "teach", "when_exhausted": "restart"},
        '"when_exhausted" belongs to "loader_factory"',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_links(tmp_path: Path, name: str) -> None:
    link, message = WRONG[name]
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        create_session(linked(link=link), session_dir=tmp_path / "run")
    assert "pipelines.learn" in str(caught.value)


def test_what_feeds_another_runs_earlier(tmp_path: Path) -> None:
    for turns, message in (
        (("learn", "teach"), "stands later in this stage"),
        (("learn",), "is not a training pipeline of this stage"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            create_session(linked(*turns), session_dir=tmp_path / "run")
        assert "train.stages[0].training_pipelines[0]" in str(caught.value)


def test_what_is_fed_has_no_data_that_could_begin_anew(tmp_path: Path) -> None:
    turns = ("teach", {"pipeline": "learn", "when_exhausted": "restart"})
    with pytest.raises(ConfigError, match="no data of its own that could be used up") as caught:
        create_session(linked(*turns), session_dir=tmp_path / "run")
    assert "train.stages[0].training_pipelines[1].when_exhausted" in str(caught.value)


def test_accumulating_pipelines_are_not_linked(tmp_path: Path) -> None:
    more = {"gradient_accumulation": 2}
    with pytest.raises(ConfigError, match='pipeline "learn" accumulates gradients'):
        create_session(linked(more=more), session_dir=tmp_path / "run")


def test_a_debug_pipeline_is_fed_by_loaders(tmp_path: Path) -> None:
    whole = linked()
    whole["initialize"]["debug_pipelines"] = {
        "look": {"graph": "of student", "input_factories": [{"from_pipeline": "teach"}]}
    }
    with pytest.raises(ConfigError, match="a debug pipeline is fed by loaders only"):
        create_session(whole, session_dir=tmp_path / "run")
