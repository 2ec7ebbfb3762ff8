"""What becomes of each key of training when it changes in a session that has begun."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from exact_configs import (
    Config,
    feed,
    graph,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    part,
    stage,
    weights,
)
from exact_configs import config as whole_config
from exact_runs import Cut
from torch import Tensor, nn

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, Interrupted
from torchassistant.session import Session

SMALL = layers(layer("Linear", 4, 3), layer("BatchNorm1d", 3), layer("Linear", 3, 1))


def rows(y_hat: Tensor, y: Tensor) -> int:
    """What a loss is a mean over."""
    return len(y)


class Counter(nn.Module):
    """The mean of what it gets, and the sum of all that it got, both scalars."""

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        mean = x.mean()
        return mean, mean if before is None else before + mean


def many_keys() -> Config:
    """A student and a teacher of which there is an average and a part, in two pipelines."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10), "others": part("Points", 12, seed=2)},
        "loader_factories": {
            "batches": loader("points"),
            "more": loader("others", shuffle=True),
            **{name: {**loader("others", shuffle=True), "shuffle_group": "g"} for name in "ab"},
        },
        "models": {
            "net": SMALL,
            "teacher": SMALL,
            "ema": {"average_of": "net", "decay": 0.5},
            "stem": {"part_of": "teacher", "path": "0"},
            "counter": made(f"{__name__}.Counter"),
        },
        "optimizers": {
            "sgd": {
                **made("SGD", lr=0.05),
                "model": ["net"],
                "parameters": [{"name": "first", "match": "0.*", "kwargs": {"lr": 0.01}}],
            },
            "of_teacher": {
                **made("SGD", lr=0.05),
                "model": "teacher",
                "lr_scheduler": {**made("StepLR", 2), "warmup": {"steps": 1}},
            },
        },
        "losses": {
            "error": {**made("MSELoss"), "inputs": ["y_hat", "y"]},
            "size": {**made("L1Loss"), "inputs": ["y_hat", "y"]},
        },
        "gradient_clippers": {
            "short": {"model": "net", "clip_norm": 0.01},
            "of_all": {"optimizer": "of_teacher", "clip_norm": 0.01},
        },
        "batch_processors": {
            "run": {"neural_graph": [node("net", "x", "y_hat", "sgd")]},
            "teach": {
                "neural_graph": [
                    node("teacher", "x", "y_hat", "of_teacher"),
                    node("stem", "x", "features"),
                    node("counter", "x sum", "mean next", carry={"sum": "next"}),
                ]
            },
        },
        "batch_graphs": {"student": graph("a", run="a"), "teacher": graph("a", teach="a")},
    }
    fit = {
        "graph": "student",
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error"), loss("size")],
    }
    pipelines = {
        "fit": fit,
        "teach": {
            "graph": "teacher",
            "input_factories": [feed("more", "x y")],
            "losses": [loss("error", loss_display_name="of teacher")],
        },
        "check": {
            "graph": "student",
            "input_factories": [feed("more", "x y")],
            "losses": [loss("error", loss_display_name="val")],
        },
    }
    turns = [{"pipeline": "fit"}, {"pipeline": "teach"}]
    return whole_config(
        groups,
        pipelines,
        stage(*turns, validation=["check"], epochs=3, epoch_length="shortest"),
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that was cut after the fourth of its nine iterations."""
    folder, cut = tmp_path_factory.mktemp("begun") / "run", Cut(4)
    with pytest.raises(Interrupted):
        create_session(many_keys(), folder, preflight=False).train(cut, cut.stop)
    return folder


@pytest.fixture
def path(begun: Path, tmp_path: Path) -> Path:
    """A copy of that session."""
    return Path(shutil.copytree(begun, tmp_path / "run"))


def end_of(session: Session) -> tuple[Any, Any]:
    history = session.history.drop(columns=["seconds", "stage"])
    state = {
        f"{m}.{k}": v.tolist() for m, own in weights(session.models).items() for k, v in own.items()
    }
    return history.astype(object).where(history.notna(), None).values.tolist(), state


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    session = create_session(many_keys(), tmp_path_factory.mktemp("whole") / "run", preflight=False)
    session.train()
    return end_of(session)


STAGE = "train.stages[0]"
FREE = [f"{STAGE}.name=first"]
APPLIED = [
    "sgd.parameters[0].kwargs.lr=0.2",
    'short.model=["teacher"]',
    "short.clip_norm=9",
    "of_all.optimizer=sgd",
    "ema.decay=0.9",
    "ema.every=2",
    "ema.start=7",
    "ema.warmup=true",
    f'{STAGE}.frozen=["net:0.*"]',
    f"{STAGE}.training_pipelines[0].repeat=2",
    f"{STAGE}.training_pipelines[0].every=2",
    f"{STAGE}.training_pipelines[0].from=8",
    f"{STAGE}.validate.every_iterations=2",
]
REFUSED = {
    "run.neural_graph[0].mode=eval": "it decides how a model runs in training",
    "run.neural_graph[0].buffers=keep": "it decides which statistics move",
    'run.neural_graph[0].inputs={"input": "x"}': "they decide what is computed",
    'run.neural_graph[0].taps={"h": "0"}': "they decide what is computed",
    'teach.neural_graph[1].outputs=["other"]': "they decide what is computed",
    "teach.neural_graph[1].optimizer_name=of_teacher": "it decides what is trained",
    'teach.neural_graph[2].carry={"sum": "mean"}': "it decides what a batch begins with",
    "stem.part_of=net": "it decides what the model is",
    "batches.contiguous=true": "it decides the order of the data",
    "more.shuffle_group=g": "it decides the order of the data",
    "ema.interval=epoch": "it decides what the average is by now",
    "ema.first=blend": "it decides what the average is by now",
    "ema.use_buffers=true": "it decides what the average is by now",
    "ema.average_of=teacher": "it decides what the model is",
    'size.inputs={"input": "y_hat", "target": "y"}': "this was decided",
    f'size.count={{"class": "{__name__}.rows"}}': "it decides how much each batch counts",
    "fit.losses[1].weight=3": "this was decided",
    "fit.normalize_weights=true": "it decides what is minimised",
    'fit.combine={"class": "combining_parts.summed"}': "it decides what is learned",
    'check.models={"net": "ema"}': "they decide which models run",
    "fit.input_factories[0].loader_factory=more": "they decide what is met",
    f"{STAGE}.training_pipelines[0].when_exhausted=restart": "they decide what is learned",
    f"{STAGE}.epoch_length=2": "it decides where epochs end",
}
REFUSED_AS_IT_CANNOT_RUN = {'stem.path="2"': "it decides what the model is"}
FIXED = {
    'sgd.model=["net", "teacher"]': "",
    'sgd.parameters[0].match="2.*"': "",
    "sgd.rest=false": "",
    "of_teacher.lr_scheduler.warmup.steps=2": "the state of the scheduler is stored",
}


@pytest.mark.parametrize("setting", FREE)
def test_what_is_free(path: Path, unchanged: tuple[Any, Any], setting: str) -> None:
    session = load_session(path, settings=[setting])
    session.train()
    assert end_of(session) == unchanged


@pytest.mark.parametrize("setting", APPLIED)
def test_what_is_applied(path: Path, unchanged: tuple[Any, Any], setting: str) -> None:
    """What was trained before stays, and the rest becomes another."""
    session = load_session(path, settings=[setting])
    session.train()
    rows, state = end_of(session)
    assert rows[0] == unchanged[0][0]
    assert (rows, state) != unchanged


@pytest.mark.parametrize("setting", REFUSED)
def test_what_is_refused(path: Path, setting: str) -> None:
    """It is told why, and it can be accepted."""
    with pytest.raises(ConfigError) as caught:
        load_session(path, settings=[setting])
    (problem,) = caught.value.problems
    assert problem.message.startswith(REFUSED[setting])
    session = load_session(path, settings=[setting], accept_changes=True)
    session.train()
    assert session.finished


@pytest.mark.parametrize("setting", REFUSED_AS_IT_CANNOT_RUN)
def test_what_is_refused_and_would_not_run(path: Path, setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_session(path, settings=[setting])
    (problem,) = caught.value.problems
    assert problem.message.startswith(REFUSED_AS_IT_CANNOT_RUN[setting])


@pytest.mark.parametrize("setting", FIXED)
def test_what_is_fixed(path: Path, setting: str) -> None:
    """What is stored would win, or could not be given to what has changed."""
    with pytest.raises(ConfigError) as caught:
        load_session(path, settings=[setting], accept_changes=True)
    (problem,) = caught.value.problems
    assert problem.message.startswith(FIXED[setting])
