"""Going on with something changed: free, applied and logged, or refused until it is accepted."""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Command, Config, pipeline, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, Interrupted
from torchassistant.session import Session, evaluate_config
from torchassistant.training import Reporter, StopRequest

EPOCHS = "train.stages[0].stop_condition.kwargs.num_epochs"


class AfterEpoch(Reporter):
    """Asks for an end in the first iteration of the epoch after so many."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.stop = StopRequest()

    def epoch_finished(self, progress: Any, row: Any) -> None:
        self.epochs -= 1

    def iteration_done(self, live: Any) -> None:
        if self.epochs == 0:
            self.stop.signum = 2


def begun(folder: Path, config: Config | None = None, epochs: int = 1, **options: Any) -> Session:
    """A session that was cut after the first of the 4 iterations that follow so many epochs."""
    session = create_session(config or toy_config(), folder, preflight=False, **options)
    reporter = AfterEpoch(epochs)
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
    assert session.progress.step == 4 * epochs + 1
    return session


def weights(session: Session) -> dict[str, torch.Tensor]:
    return {
        f"{name} {key}": value.clone()
        for name, model in session.models.items()
        for key, value in model.state_dict().items()
    }


def same(one: Session, other: Session) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def rows(session: Session) -> list[Any]:
    table = session.history.drop(columns="seconds")
    return table.astype(object).where(table.notna(), None).values.tolist()


def log_of(session: Path) -> list[dict[str, Any]]:
    path = session / "changes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def trained(folder: Path, *settings: str, **options: Any) -> Session:
    session = load_session(folder, settings=settings, **options)
    session.train()
    return session


def refused(folder: Path, *settings: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_session(folder, settings=settings, **options)
    return str(caught.value)


def with_debugging() -> Config:
    config = toy_config(training=WORKERS)
    config["train"]["stages"][0]["debug_pipelines"] = [
        {
            "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "checking"}],
            "num_iterations": 1,
            "interval": 2,
            "output_keys": ["y_hat"],
            "output_device": {"class": "toys.Recorder"},
        }
    ]
    return config


WORKERS = {"dataset": "parts.train", "kwargs": {"batch_size": 8, "num_workers": 1}}


# Free


FREE = {
    "checkpoints.keep_last=7": (None, 7),
    "checkpoints.every_iterations=2": (None, 2),
    "train.stages[0].debug_pipelines[0].interval=3": (2, 3),
    "training.kwargs.prefetch_factor=4": (None, 4),
    "training.kwargs.timeout=60": (None, 60),
}


@pytest.fixture(scope="module")
def debugged(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A run without a change."""
    folder = tmp_path_factory.mktemp("debugged") / "run"
    session = create_session(with_debugging(), folder, preflight=False)
    session.train()
    return session


@pytest.mark.parametrize("setting", FREE)
def test_what_is_free_changes_no_bit(tmp_path: Path, debugged: Session, setting: str) -> None:
    begun(tmp_path / "run", with_debugging())
    session = trained(tmp_path / "run", setting)
    assert same(session, debugged)
    assert rows(session) == rows(debugged)
    assert [entry["effect"] for entry in log_of(session.path)] == ["free"]
    assert log_of(session.path)[0]["after"] == FREE[setting][1]


MONITOR = ("callbacks", {"class": "LearningRateMonitor"})
BOARD = ("callbacks", {"class": "TensorBoard"})


def test_a_logger_comes_freely(tmp_path: Path, debugged: Session) -> None:
    """Without consent, and without a bit that is other."""
    definitions = begun(tmp_path / "run", with_debugging()).spec.initialize.definitions
    place = f"initialize.definitions[{len(definitions)}]"
    board = '{"group": "callbacks", "name": "board", "spec": {"class": "TensorBoard"}}'
    session = trained(tmp_path / "run", f"{place}={board}", 'train.callbacks=["board"]')
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert same(session, debugged)
    assert rows(session) == rows(debugged)
    assert [entry["effect"] for entry in log_of(session.path)] == ["free"] * 2


@pytest.mark.parametrize(
    ("before", "settings", "effects"),
    [
        (["rates"], ['train.callbacks=["rates", "board"]'], {"free"}),
        (["rates", "board"], ['train.callbacks=["board", "rates"]'], {"free"}),
        (["board"], ["board.class=torchassistant.callbacks.Trackio"], {"free"}),
        (["board"], ["board.kwargs.name=other"], {"free"}),
        (["board"], ['train.callbacks=["more"]'], {"applied"}),
        (["more"], ['train.callbacks=["board"]'], {"applied"}),
        (["more", "last"], ['train.callbacks=["last", "more"]'], {"applied"}),
        (["more"], ["more.class=TensorBoard", "more.kwargs={}"], {"applied"}),
        (["rates"], ['train.stages[0].callbacks=["board"]'], {"free"}),
        (["rates"], ['train.stages[0].callbacks=["board", "more"]'], {"applied"}),
    ],
)
def test_other_callbacks_are_applied(
    tmp_path: Path, before: list[str], settings: list[str], effects: set[str]
) -> None:
    kept = {"class": "ModelCheckpoint", "kwargs": {"monitor": "loss"}}
    more = {"rates": MONITOR, "board": BOARD, "more": ("callbacks", kept)}
    config = toy_config(**more, last=("callbacks", kept))
    config["train"]["callbacks"] = before
    session = begun(tmp_path / "run", config)
    loaded = load_session(session.path, settings=settings)
    assert {change.effect for change in loaded._pending.changes} == effects


# Applied


def with_clipper() -> Config:
    return toy_config(clip=("gradient_clippers", {"model": "net", "clip_norm": 5.0}))


APPLIED = {
    "adam.kwargs.lr=0.5": (0.01, 0.5),
    "adam.kwargs.betas=[0.5, 0.6]": (None, [0.5, 0.6]),
    f"{EPOCHS}=2": (3, 2),
    "train.stages[0].eval_steps=1": (1.0, 1),
    "clip.clip_norm=0.001": (5.0, 0.001),
    "on_nonfinite=skip": ("stop", "skip"),
    "train.stages[0].on_nonfinite=skip": (None, "skip"),
    "training.kwargs.num_workers=1": (None, 1),
    "device=cpu": ("auto", "cpu"),
}


@pytest.mark.parametrize("setting", APPLIED)
def test_what_is_applied_is_logged_with_its_step(tmp_path: Path, setting: str) -> None:
    begun(tmp_path / "run", with_clipper())
    session = load_session(tmp_path / "run", settings=[setting])
    assert log_of(session.path) == []
    session.train()
    (entry,) = log_of(session.path)
    before, after = APPLIED[setting]
    assert (entry["effect"], entry["step"], entry["epoch"]) == ("applied", 5, 1)
    assert (entry["before"], entry["after"]) == (before, after)
    assert entry["what"].rpartition(".")[2] == setting.partition("=")[0].rpartition(".")[2]
    assert load_session(session.path).finished
    assert len(log_of(session.path)) == 1


HAS_AN_EFFECT = [
    "adam.kwargs.lr=0.5",
    "adam.kwargs.betas=[0.5, 0.6]",
    "clip.clip_norm=0.001",
    "train.stages[0].eval_steps=1",
]


@pytest.mark.parametrize("setting", HAS_AN_EFFECT)
def test_what_is_applied_takes_effect(tmp_path: Path, setting: str) -> None:
    begun(tmp_path / "run", with_clipper())
    plain = create_session(with_clipper(), tmp_path / "plain", preflight=False)
    plain.train()
    session = trained(tmp_path / "run", setting)
    assert rows(session)[0] == rows(plain)[0]
    assert rows(session)[1:] != rows(plain)[1:]


def test_a_learning_rate_is_kept_and_equals_one_that_was_set_by_hand(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    begun(tmp_path / "by hand")
    reporter = AfterEpoch(1)
    session = load_session(tmp_path / "run", settings=["adam.kwargs.lr=0.5"])
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
    again = load_session(tmp_path / "run")
    assert again.optimizers["adam"].param_groups[0]["lr"] == 0.5
    again.train()
    by_hand = load_session(tmp_path / "by hand")
    by_hand.optimizers["adam"].param_groups[0]["lr"] = 0.5
    by_hand.train()
    assert same(again, by_hand)
    assert rows(again) == rows(by_hand)


def test_a_change_that_is_taken_back(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    session = load_session(tmp_path / "run", settings=["adam.kwargs.lr=0.5"])
    reporter = AfterEpoch(1)
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
    trained(tmp_path / "run", "adam.kwargs.lr=0.01")
    changes = [(entry["step"], entry["after"]) for entry in log_of(tmp_path / "run")]
    assert changes == [(5, 0.5), (9, 0.01)]


def test_a_change_is_nothing_until_it_is_trained(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    load_session(tmp_path / "run", settings=["adam.kwargs.lr=0.5"])
    assert load_session(tmp_path / "run").optimizers["adam"].param_groups[0]["lr"] == 0.01


def test_what_is_not_changed_is_no_change(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    trained(tmp_path / "run", "adam.kwargs.lr=0.01", "seed=5")
    assert log_of(tmp_path / "run") == []


def demanding(epochs: int) -> Config:
    config = toy_config(
        points={"class": "toys.Jittered"},
        net={"class": "toys.Net", "kwargs": {"dropout": 0.5}},
    )
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = epochs
    return config


def test_a_finished_session_goes_on_with_more_epochs(tmp_path: Path) -> None:
    """To the very end of a run that had them from the beginning."""
    long = create_session(demanding(5), tmp_path / "long", preflight=False)
    long.train()
    create_session(demanding(2), tmp_path / "run", preflight=False).train()
    session = load_session(tmp_path / "run", settings=[f"{EPOCHS}=5"])
    assert not session.finished
    session.train()
    assert session.progress == long.progress
    assert same(session, long)
    assert rows(session) == rows(long)


def test_a_finished_session_stays_finished_with_as_many_epochs(tmp_path: Path) -> None:
    create_session(demanding(2), tmp_path / "run", preflight=False).train()
    assert load_session(tmp_path / "run", settings=[f"{EPOCHS}=1"]).finished


def with_second_stage() -> Config:
    """A second stage that has a pipeline, and a network, of its own."""
    config = demanding(2)
    node = {"model_name": "late", "inputs": ["x"], "outputs": ["y_hat"], "optimizer_name": "sgd"}
    sgd = {"class": "SGD", "model": "late", "kwargs": {"lr": 0.1}}
    config["initialize"]["definitions"] += [
        {"group": "batch_graphs", "name": "first", "spec": {"nodes": ["processor"]}},
        {"group": "models", "name": "late", "spec": {"class": "toys.Net"}},
        {"group": "optimizers", "name": "sgd", "spec": sgd},
        {"group": "batch_processors", "name": "more", "spec": {"neural_graph": [node]}},
        {"group": "batch_graphs", "name": "second", "spec": {"nodes": ["more"]}},
    ]
    pipelines = config["initialize"]["pipelines"]
    for spec in pipelines.values():
        spec["graph"] = "first"
    pipelines["late fit"] = {**pipeline("training", "late loss"), "graph": "second"}
    config["train"]["stages"].append(
        {
            "training_pipelines": ["late fit", "fit"],
            "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 2}},
        }
    )
    return config


def without_second_stage() -> Config:
    config = with_second_stage()
    config["initialize"]["definitions"] = config["initialize"]["definitions"][:-4]
    del config["initialize"]["pipelines"]["late fit"]
    config["train"]["stages"].pop()
    return config


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_new_stage_at_the_end(tmp_path: Path, is_finished: bool) -> None:
    """With definitions and a pipeline for it: as in a run that had them from the beginning."""
    whole = create_session(with_second_stage(), tmp_path / "whole", preflight=False)
    whole.train()
    if is_finished:
        create_session(without_second_stage(), tmp_path / "run", preflight=False).train()
    else:
        begun(tmp_path / "run", without_second_stage())
    described = json.loads((whole.path / "spec.json").read_text())
    session = trained(
        tmp_path / "run",
        f"initialize.definitions={json.dumps(described['initialize']['definitions'])}",
        f"initialize.pipelines={json.dumps(described['initialize']['pipelines'])}",
        f"train.stages={json.dumps(described['train']['stages'])}",
    )
    assert same(session, whole)
    assert rows(session) == rows(whole)
    entries = log_of(session.path)
    assert {entry["effect"] for entry in entries} == {"applied"}
    assert "train.stages[1]" in [entry["what"] for entry in entries]


def test_a_stage_that_has_not_begun_may_change(tmp_path: Path) -> None:
    begun(tmp_path / "run", with_second_stage())
    named = "train.stages[1].training_pipelines"
    session = trained(tmp_path / "run", f'{named}=["late fit"]')
    header, *_ = (session.path / "metrics" / "1.csv").read_text().splitlines()
    assert header == "epoch,step,late loss,seconds"


def test_a_stage_that_is_done_may_not_change(tmp_path: Path) -> None:
    create_session(with_second_stage(), tmp_path / "run", preflight=False).train()
    said = refused(tmp_path / "run", 'train.stages[1].training_pipelines=["late fit"]')
    assert "they decide what is learned" in said


# Refused


REFUSED = {
    "seed=7": "5 became 7",
    "net.kwargs.dropout=0.5": "null became 0.5",
    "training.kwargs.batch_size=4": "8 became 4",
    "training.kwargs.shuffle=false": "null became false",
    "fit.losses[0].weight=2": "1.0 became 2",
    "adam.class=SGD": '"Adam" became "SGD"',
    "mse.class=L1Loss": '"MSELoss" became "L1Loss"',
    'train.stages[0].validation_pipelines=["check", "check"]': 'became ["check", "check"]',
    "parts.ratio=[0.5, 0.5]": "0.75 became 0.5",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_is_refused(tmp_path: Path, setting: str) -> None:
    begun(tmp_path / "run")
    said = refused(tmp_path / "run", setting)
    assert "a change needs a new session" in said or "[0].validation" in setting
    assert REFUSED[setting] in said or "[0].validation" in setting
    assert f"--set {setting}" in said
    assert log_of(tmp_path / "run") == []


@pytest.mark.parametrize(
    "setting", ["seed=7", "net.kwargs.dropout=0.5", "fit.losses[0].weight=2", "mse.class=L1Loss"]
)
def test_what_is_accepted_is_logged(tmp_path: Path, setting: str) -> None:
    begun(tmp_path / "run")
    session = trained(tmp_path / "run", setting, accept_changes=True)
    (entry,) = log_of(session.path)
    assert (entry["effect"], entry["step"]) == ("refused", 5)
    plain = create_session(toy_config(), tmp_path / "plain", preflight=False)
    plain.train()
    assert not same(session, plain)
    assert rows(session)[0] == rows(plain)[0]
    assert load_session(session.path).finished


def test_every_change_that_is_refused_is_told(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    said = refused(tmp_path / "run", "seed=7", "net.kwargs.dropout=0.5", "adam.kwargs.lr=1")
    assert len(said.splitlines()) == 2


def test_a_learning_rate_with_a_scheduler_is_the_schedulers(tmp_path: Path) -> None:
    adam = {"class": "Adam", "model": "net", "kwargs": {"lr": 0.01}}
    scheduled = {**adam, "lr_scheduler": {"class": "ExponentialLR", "kwargs": {"gamma": 0.5}}}
    begun(tmp_path / "run", toy_config(adam=scheduled))
    said = refused(tmp_path / "run", "adam.kwargs.lr=0.5")
    assert "scheduler" in said
    assert "0.01 became 0.5" in said


@pytest.mark.parametrize(
    "setting",
    [
        "fit.losses[0].loss_display_name=other",
        "train.stages[0].validation_pipelines=[]",
    ],
)
@pytest.mark.parametrize("accepted", [False, True])
def test_the_columns_of_a_stage_that_has_begun_are_fixed(
    tmp_path: Path, setting: str, accepted: bool
) -> None:
    begun(tmp_path / "run")
    said = refused(tmp_path / "run", setting, accept_changes=accepted)
    assert "stage 1 has begun, and the columns of its history are fixed" in said


def test_skipping_from_the_middle_of_a_stage_on(tmp_path: Path) -> None:
    """The columns stay as they were, and the rows after the change are read like those before."""
    begun(tmp_path / "run")
    session = trained(tmp_path / "run", "on_nonfinite=skip")
    again = load_session(session.path)
    assert again.finished
    assert again.history["epoch"].tolist() == [1, 2, 3]


# The files that say how the session was described


def test_a_spec_that_was_edited_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun(tmp_path / "run")
    path = tmp_path / "run" / "spec.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"lr": 0.01', b'"lr": 0.5'))
    session = load_session(tmp_path / "run")
    said = capsys.readouterr().err
    assert "spec.json differs from the checkpoint" in said
    assert "--set" in said
    assert session.optimizers["adam"].param_groups[0]["lr"] == 0.01
    session.train()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("{")])
def test_a_spec_that_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], Any]
) -> None:
    begun(tmp_path / "run")
    path = tmp_path / "run" / "spec.json"
    whole = path.read_bytes()
    spoil(path)
    session = load_session(tmp_path / "run")
    assert "the checkpoint" in capsys.readouterr().err
    session.train()
    assert path.read_bytes() == whole
    plain = create_session(toy_config(), tmp_path / "plain", preflight=False)
    plain.train()
    assert same(session, plain)


def test_a_log_that_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun(tmp_path / "run")
    trained(tmp_path / "run", f"{EPOCHS}=2")
    path = tmp_path / "run" / "changes.jsonl"
    whole = path.read_bytes()
    path.unlink()
    trained(tmp_path / "run", f"{EPOCHS}=3")
    assert "changes.jsonl is missing" in capsys.readouterr().err
    assert path.read_bytes().startswith(whole)
    assert len(log_of(tmp_path / "run")) == 2


# Code of the user

SOURCE = '''
"""Of the user."""

import torch
from toys import Net as Base
from toys import Points as Plain


def scaled(x):
    return 2 * x


def unused(x):
    return 3 * x


class Points(Plain):
    """Points."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return scaled(x), y  # twice as far


class Net(Base):
    factor = 1.0

    def forward(self, x):
        return self.factor * super().forward(x)


class Silent:
    def __call__(self, data):
        pass


class Enough:
    num_epochs = 3

    def __call__(self, epoch, history):
        return epoch >= self.num_epochs
'''


class Module:
    """A module of the user, which may be written again.

    Args:
        folder: Is importable.
    """

    name = "code_of_the_user"

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{self.name}.py"
        self.source = SOURCE
        self.write()

    def write(self) -> None:
        self.path.write_text(self.source)
        self.forget()

    def forget(self) -> None:
        sys.modules.pop(self.name, None)
        linecache.clearcache()

    def change(self, old: str, new: str) -> None:
        assert self.source.count(old) == 1
        self.source = self.source.replace(old, new)
        self.write()

    @property
    def trusted(self) -> dict[str, Any]:
        return {"trust": [self.name]}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = Module(tmp_path)
    yield module
    module.forget()


def of_the_user() -> Config:
    config = toy_config(
        points={"class": "code_of_the_user.Points"}, net={"class": "code_of_the_user.Net"}
    )
    config["train"]["stages"][0] |= {
        "stop_condition": {"class": "code_of_the_user.Enough"},
        "debug_pipelines": [
            {
                "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "checking"}],
                "num_iterations": 1,
                "interval": 2,
                "output_keys": ["y_hat"],
                "output_device": {"class": "code_of_the_user.Silent"},
            }
        ],
    }
    return config


CHANGES = {
    "the model": ("factor = 1.0", "factor = 1.5", "code_of_the_user.Net"),
    "the dataset": ("return scaled(x), y", "return scaled(x), -y", "code_of_the_user.Points"),
    "a function that it uses": ("return 2 * x", "return 4 * x", "code_of_the_user.scaled"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_code_is_refused_with_a_diff(tmp_path: Path, code: Module, what: str) -> None:
    old, new, name = CHANGES[what]
    begun(tmp_path / "run", of_the_user(), **code.trusted)
    code.change(old, new)
    said = refused(tmp_path / "run", **code.trusted)
    assert f"the code of {name} has changed" in said
    assert "--accept-changes" in said
    lines = [line.strip() for line in said.splitlines()]
    assert {"--- then", "+++ now"} <= set(lines)
    assert any(line.startswith("-") and old in line for line in lines)
    assert any(line.startswith("+") and new in line for line in lines)
    assert said.count("the code of") == 1


@pytest.mark.parametrize("what", CHANGES)
def test_changed_code_that_is_accepted_is_logged(tmp_path: Path, code: Module, what: str) -> None:
    old, new, name = CHANGES[what]
    begun(tmp_path / "run", of_the_user(), **code.trusted)
    code.change(old, new)
    session = trained(tmp_path / "run", accept_changes=True, **code.trusted)
    (entry,) = log_of(session.path)
    assert (entry["what"], entry["effect"], entry["step"]) == (name, "refused", 5)
    assert old in entry["before"] and new in entry["after"]
    assert load_session(session.path, **code.trusted).finished


UNCHANGED = {
    "a comment": ("  # twice as far", "  # 2 x"),
    "a docstring": ('"""Points."""', '"""Points, twice as far away as they are."""'),
    "a docstring that is taken away": ('    """Points."""\n\n', ""),
    "layout": ("scaled(x), y", "(\n            scaled(x),\n            y,\n        )"),
    "a function that nothing uses": ("return 3 * x", "return 5 * x"),
    "a function more": ("def unused(x):", "def another():\n    pass\n\n\ndef unused(x):"),
    "a docstring more": ("factor = 1.0", '"""A net."""\n\n    factor = 1.0'),
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_what_does_the_same_has_not_changed(tmp_path: Path, code: Module, what: str) -> None:
    begun(tmp_path / "run", of_the_user(), **code.trusted)
    code.change(*UNCHANGED[what])
    trained(tmp_path / "run", **code.trusted)
    assert log_of(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        ("def __call__(self, data):\n        pass", "def __call__(self, data):\n        1", "free"),
        ("num_epochs = 3", "num_epochs = 2", "applied"),
    ],
)
def test_code_of_other_roles(tmp_path: Path, code: Module, old: str, new: str, effect: str) -> None:
    begun(tmp_path / "run", of_the_user(), **code.trusted)
    code.change(old, new)
    session = trained(tmp_path / "run", **code.trusted)
    (entry,) = log_of(session.path)
    assert (entry["effect"], entry["step"]) == (effect, 5)
    assert len(session.history) == (2 if effect == "applied" else 3)


def test_an_evaluation_only_warns(
    tmp_path: Path, code: Module, capsys: pytest.CaptureFixture[str]
) -> None:
    create_session(of_the_user(), tmp_path / "run", **code.trusted).train()
    before = evaluate_config(tmp_path / "run", **code.trusted)
    assert capsys.readouterr().err == ""
    code.change("factor = 1.0", "factor = 1.5")
    after = evaluate_config(tmp_path / "run", **code.trusted)
    assert before != after
    assert "warning: the code of code_of_the_user.Net has changed" in capsys.readouterr().err


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path, code: Module, command: Command) -> None:
    begun(tmp_path / "run", of_the_user(), **code.trusted)
    code.change("return 2 * x", "return 4 * x")
    write(tmp_path / "unrelated.json", {})
    done = command("train.py", "run", "--set", "seed=7")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "-    return 2 * x" in done.stderr
    assert "5 became 7" in done.stderr
    done = command("train.py", "run", "--set", "seed=7", "--accept-changes")
    assert done.returncode == 0, done.stderr
    assert [entry["effect"] for entry in log_of(tmp_path / "run")] == ["refused", "refused"]


def test_splits_are_drawn_again_where_that_is_accepted(tmp_path: Path) -> None:
    """What older states were trained with stands beside it."""
    path = begun(tmp_path / "run").path
    before = load_session(path).splits["parts"].indices
    session = load_session(path, settings=["parts.ratio=[0.5, 0.5]"], accept_changes=True)
    assert [len(part) for part in session.splits["parts"].indices] == [20, 20]
    session.train()
    after = load_session(path).splits["parts"].indices
    assert [part.tolist() for part in after] == [
        part.tolist() for part in session.splits["parts"].indices
    ]
    assert len(list((path / "static" / "splits").rglob("parts.safetensors"))) == 2
    assert [len(part) for part in before] == [30, 10]
    oldest = sorted((path / "checkpoints").iterdir())[0].name
    if oldest == "0000000000":
        assert len(load_session(path, checkpoint="0").splits["parts"].indices[0]) == 30


# Parameter groups that are not alike


def grouped(**kwargs: Any) -> Config:
    adam = {"factory_fn": "toys.grouped_adam", "model": "net", "kwargs": kwargs}
    return toy_config(net={"class": "toys.TwoLayers"}, adam=adam)


def values(session: Session, key: str) -> list[Any]:
    return [group[key] for group in session.optimizers["adam"].param_groups]


GROUPS: dict[str, tuple[Config, str, list[Any], str]] = {
    "what one was given stays": (
        {},
        "weight_decay=0.2",
        [0.2, 0.2, 0.0],
        'weight_decay is 0.2 in group 0 (was 0.1), is 0.2 in group "head" (was 0.1), '
        "stays 0.0 in group 2",
    ),
    "all that are alike change": (
        {},
        "eps=0.5",
        [0.5, 0.5, 0.5],
        "eps is 0.5 in group 0 (was 1e-08), ",
    ),
    "what follows from it follows": ({"share": 0.1, "lr": 0.5}, "lr=1.0", [0.1, 1.0, 1.0], "lr is"),
    "element by element": (
        {"betas": [0.5, 0.5]},
        "betas=[0.6, 0.7]",
        [(0.6, 0.7), (0.6, 0.7), (0.6, 0.7)],
        "betas is (0.6, 0.7) in group 0 (was (0.5, 0.5))",
    ),
}


@pytest.mark.parametrize("case", GROUPS)
def test_a_group_keeps_what_it_was_given_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    kwargs, setting, expected, said = GROUPS[case]
    begun(tmp_path / "run", grouped(**kwargs))
    session = load_session(tmp_path / "run", settings=[f"adam.kwargs.{setting}"])
    key = setting.partition("=")[0]
    assert values(session, key) == expected
    assert f'the optimizer "adam": {said}' in capsys.readouterr().err
    session.train()
    assert values(load_session(tmp_path / "run"), key) == expected


def test_a_group_keeps_what_it_was_given_from_python(tmp_path: Path) -> None:
    begun(tmp_path / "run", grouped())
    session = load_session(tmp_path / "run")
    session.optimizers["adam"].param_groups[0]["weight_decay"] = 0.7
    reporter = AfterEpoch(1)
    with pytest.raises(Interrupted):
        session.train(reporter, reporter.stop)
    session = load_session(tmp_path / "run", settings=["adam.kwargs.weight_decay=0.2"])
    assert values(session, "weight_decay") == [0.7, 0.2, 0.0]


def test_an_argument_that_no_group_has_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "run", grouped(share=0.5))
    load_session(tmp_path / "run", settings=["adam.kwargs.share=1.0"], accept_changes=True)
    assert (
        'the optimizer "adam": "share" is not an option of its parameter groups, which are '
        "unchanged\n" in capsys.readouterr().err
    )


def test_what_a_scheduler_cycles_is_the_schedulers(tmp_path: Path) -> None:
    adam = {
        "class": "Adam",
        "model": "net",
        "lr_scheduler": {
            "class": "OneCycleLR",
            "kwargs": {"max_lr": 0.1, "total_steps": 20},
            "interval": "step",
        },
    }
    begun(tmp_path / "run", toy_config(adam=adam))
    with pytest.raises(ConfigError, match='"betas" is set by the scheduler'):
        load_session(tmp_path / "run", settings=["adam.kwargs.betas=[0.5, 0.6]"])


# Parameter groups of the config


def by_patterns(*groups: Config, **more: Any) -> Config:
    kwargs = {"lr": 0.01, "weight_decay": 0.1}
    adam = {"class": "Adam", "model": "net", "kwargs": kwargs, "parameters": list(groups), **more}
    return toy_config(net={"class": "toys.TwoLayers"}, adam=adam)


FIRST = {"match": "first", "kwargs": {"lr": 0.1}}
BIASES = {"match": "*.bias", "name": "biases", "kwargs": {"weight_decay": 0.0}}


@pytest.mark.parametrize(
    ("setting", "key", "expected", "said"),
    [
        ("kwargs.weight_decay=0.2", "weight_decay", [0.2, 0.0, 0.2], 'stays 0.0 in group "biases"'),
        ("kwargs.lr=0.5", "lr", [0.1, 0.5, 0.5], 'lr stays 0.1 in group "first", is 0.5'),
        ("parameters[0].kwargs.lr=0.5", "lr", [0.5, 0.01, 0.01], 'lr is 0.5 in group "first"'),
        ("parameters[1].kwargs.lr=0.5", "lr", [0.1, 0.5, 0.01], 'is 0.5 in group "biases" (was'),
        ("parameters[0].name=stem", "name", ["stem", "biases", "rest"], ""),
    ],
)
def test_arguments_of_a_group_can_change(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    key: str,
    expected: list[Any],
    said: str,
) -> None:
    begun(tmp_path / "run", by_patterns(FIRST, BIASES))
    session = load_session(tmp_path / "run", settings=[f"adam.{setting}"])
    assert values(session, key) == expected
    assert said in capsys.readouterr().err
    session.train()
    assert values(load_session(tmp_path / "run"), key) == expected


def test_a_changed_group_trains_as_if_it_was_changed_by_hand(tmp_path: Path) -> None:
    ends = []
    for name, settings in (("one", ["adam.parameters[0].kwargs.lr=0.5"]), ("two", [])):
        begun(tmp_path / name, by_patterns(FIRST, BIASES))
        session = load_session(tmp_path / name, settings=settings)
        session.optimizers["adam"].param_groups[0]["lr"] = 0.5
        session.train()
        ends.append(weights(session))
    assert all(torch.equal(one, ends[1][key]) for key, one in ends[0].items())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("parameters[0].match=second", "the state of each parameter is stored by its place"),
        ("parameters=[]", "the state of each parameter is stored by its place in the groups"),
        ("rest=false", "the state of each parameter is stored by its place in the groups"),
        ("parameters[0].kwargs.amsgrad=true", "this was decided when the session was created"),
    ],
)
def test_what_is_in_a_group_cannot_change(tmp_path: Path, setting: str, message: str) -> None:
    begun(tmp_path / "run", by_patterns(FIRST, BIASES))
    with pytest.raises(ConfigError, match=message):
        load_session(tmp_path / "run", settings=[f"adam.{setting}"])


def test_the_rate_of_a_group_is_its_schedulers(tmp_path: Path) -> None:
    scheduler = {"class": "StepLR", "kwargs": {"step_size": 1}}
    begun(tmp_path / "run", by_patterns(FIRST, lr_scheduler=scheduler))
    with pytest.raises(ConfigError, match="the learning rate is set by the scheduler"):
        load_session(tmp_path / "run", settings=["adam.parameters[0].kwargs.lr=0.5"])
