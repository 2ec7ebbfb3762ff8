"""With what a stage begins: weights of an earlier state, and optimizers and schedulers anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    feed,
    fit,
    loss,
    made,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Runs, assert_same_bits
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from torchassistant import create_session, load_session
from torchassistant.config import read, spec_of
from torchassistant.errors import ConfigError, SessionError
from torchassistant.session.saving.stage_starts import StageStarts
from torchassistant.session.stages.stage_beginning import RESETS

CHECK = {
    "input_factories": [feed("others", "x y")],
    "losses": [loss("error", loss_display_name="held out")],
}
BEST = {"monitor": "held out", "mode": "min"}


def wild(*stages: Config, checkpoints: Config | None = None, **optimizer: Any) -> Config:
    """A rate at which losses go up and down, so that the best epoch is not the last one."""
    descent = trained_by(made("SGD", **{"lr": 0.6, "momentum": 0.5, **optimizer}), "net")
    groups = {
        "datasets": {"held out": made("exact_parts.Points", 6, seed=3)},
        "loader_factories": {"others": {"dataset": "held out", "kwargs": {"batch_size": 6}}},
        "optimizers": {"descent": descent},
    }
    spec = one_model(groups, *stages, check=CHECK)
    spec["checkpoints"] = {"keep_last": 1, "best": BEST, **(checkpoints or {})}
    return spec


def checked(epochs: int, **more: Any) -> Config:
    return stage("fit", validation=["check"], epochs=epochs, **more)


FROM_BEST = {"stage": "wild", "checkpoint": "best"}


class Loop:
    """A loop by hand that keeps the state of every epoch, and how good it was."""

    def __init__(self, net: nn.Module, optimizer: Optimizer) -> None:
        self.net, self.optimizer = net, optimizer
        self.states: list[dict[str, torch.Tensor]] = []
        self.scores: list[float] = []

    def run(self, epochs: int) -> None:
        others = Points(6, seed=3)
        for _ in range(epochs):
            fit(self.net, self.optimizer, batches_of(Points(10)), epochs=1)
            self.states.append(copy.deepcopy(self.net.state_dict()))
            with torch.no_grad():
                self.scores.append(float(mse_loss(self.net(others.x), others.y)))

    def best(self, first: int = 0) -> int:
        return min(range(first, len(self.scores)), key=self.scores.__getitem__)


def test_a_stage_starts_from_the_best_of_another(tmp_path: Path) -> None:
    """Only the weights do: momentum goes on."""
    spec = wild(checked(6, name="wild"), checked(2, start_from=FROM_BEST))
    twin = Twin(spec, tmp_path)
    net = twin.models["net"]
    loop = Loop(net, SGD(net.parameters(), lr=0.6, momentum=0.5))
    loop.run(6)
    assert loop.best() != 5
    net.load_state_dict(loop.states[loop.best()])
    loop.run(2)
    twin.check()


def test_the_best_is_that_of_its_stage(tmp_path: Path) -> None:
    """Another stage may have had a better one; rarely saved, it is saved all the same."""
    spec = wild(
        checked(4),
        checked(5, name="wild"),
        stage("fit", epochs=1),
        checked(2, start_from=FROM_BEST),
        checkpoints={"every_epochs": 100},
    )
    twin = Twin(spec, tmp_path)
    net = twin.models["net"]
    loop = Loop(net, SGD(net.parameters(), lr=0.6, momentum=0.5))
    loop.run(9)
    first = 4
    loop.run(1)
    scores = loop.scores[first:9]
    best = first + min(range(5), key=scores.__getitem__)
    net.load_state_dict(loop.states[best])
    loop.run(2)
    twin.check()


def test_the_last_of_a_stage(tmp_path: Path) -> None:
    stages = [stage("fit", epochs=2), stage("fit", epochs=1)]
    start = {"stage": 0, "checkpoint": "last", "models": ["net"]}
    spec = one_model({}, *stages, stage("fit", epochs=1, start_from=start))
    spec["checkpoints"] = {"keep_last": 1}
    twin = Twin(spec, tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    fit(net, optimizer, batches_of(Points(10)), epochs=2)
    fit(net, optimizer, batches_of(Points(10)), epochs=1)
    again = twin.start["net"]
    net.load_state_dict(again)
    fit(net, optimizer, batches_of(Points(10)), epochs=2)
    fit(net, optimizer, batches_of(Points(10)), epochs=1)
    twin.check()
    assert len(list((twin.session.path / "checkpoints").iterdir())) == 1


Scheduled = tuple[Config, Callable[[Optimizer], LRScheduler]]
STEP: Scheduled = (
    {**made("StepLR", step_size=2, gamma=0.5), "interval": "step"},
    lambda o: StepLR(o, 2, 0.5),
)
CYCLE: Scheduled = (
    {**made("OneCycleLR", max_lr=0.1, total_steps=40), "interval": "step"},
    lambda o: OneCycleLR(o, 0.1, 40),
)
COSINE: Scheduled = (
    {**made("CosineAnnealingLR", T_max=9), "interval": "step"},
    lambda o: CosineAnnealingLR(o, 9),
)


@pytest.mark.parametrize("scheduled", [STEP, CYCLE, COSINE], ids=["step", "cycle", "cosine"])
@pytest.mark.parametrize(
    "reset",
    [
        ["optimizers.descent"],
        ["schedulers.descent"],
        ["optimizers.descent", "schedulers.descent"],
        ["schedulers.descent", "optimizers.descent"],
    ],
    ids=["optimizer", "scheduler", "both", "both the other way round"],
)
def test_what_begins_anew(tmp_path: Path, scheduled: Scheduled, reset: list[str]) -> None:
    spec, make = scheduled
    descent = {**trained_by(made("Adam", lr=0.01), "net"), "lr_scheduler": spec}
    stages = [stage("fit", epochs=1), stage("fit", epochs=2, reset=reset)]
    twin = Twin(one_model({"optimizers": {"descent": descent}}, *stages), tmp_path)
    net = twin.models["net"]

    def train(optimizer: Optimizer, scheduler: LRScheduler, epochs: int) -> None:
        for _ in range(epochs):
            for x, y in batches_of(Points(10)):
                optimizer.zero_grad()
                mse_loss(net(x), y).backward()
                optimizer.step()
                scheduler.step()

    optimizer = Adam(net.parameters(), lr=0.01)
    scheduler = make(optimizer)
    train(optimizer, scheduler, 1)
    if len(reset) == 2:
        optimizer = Adam(net.parameters(), lr=0.01)
        scheduler = make(optimizer)
    elif reset == ["optimizers.descent"]:
        optimizer.state.clear()
    else:
        other = Adam([nn.Parameter(torch.zeros(1))], lr=0.01)
        fresh = make(other)
        scheduler.load_state_dict(fresh.state_dict())
        (group,), (own,) = optimizer.param_groups, other.param_groups
        group.update({key: value for key, value in own.items() if key != "params"})
    train(optimizer, scheduler, 2)
    twin.check()


@pytest.mark.parametrize("anew", [True, False])
def test_a_length_is_that_of_the_stage_in_which_a_scheduler_begins(
    tmp_path: Path, anew: bool
) -> None:
    """``auto`` is 3 steps, and 6 where the scheduler begins anew in the second stage."""
    cosine = {**made("CosineAnnealingLR", T_max="auto"), "interval": "step"}
    descent = {**trained_by(made("SGD", lr=0.1), "net"), "lr_scheduler": cosine}
    reset = {"reset": ["optimizers.descent", *(["schedulers.descent"] if anew else [])]}
    stages = [stage("fit", epochs=1), stage("fit", epochs=2, **reset)]
    twin = Twin(one_model({"optimizers": {"descent": descent}}, *stages), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.1)
    scheduler = CosineAnnealingLR(optimizer, 3)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for x, y in batches_of(Points(10)):
                optimizer.zero_grad()
                mse_loss(net(x), y).backward()
                optimizer.step()
                scheduler.step()

    train(1)
    if anew:
        optimizer = SGD(net.parameters(), lr=0.1)
        scheduler = CosineAnnealingLR(optimizer, 6)
    train(2)
    twin.check()


def test_the_length_of_a_stage_has_to_be_known_where_a_scheduler_begins_anew(
    tmp_path: Path,
) -> None:
    cosine = {**made("CosineAnnealingLR", T_max="auto"), "interval": "step"}
    descent = {**trained_by(made("SGD", lr=0.1), "net"), "lr_scheduler": cosine}
    endless = stage("fit", stop_condition=part("Told", 2), reset=["schedulers.descent"])
    spec = one_model({"optimizers": {"descent": descent}}, stage("fit"), endless)
    with pytest.raises(ConfigError, match='"auto" is the length of stage 2'):
        create_session(spec, session_dir=tmp_path / "run")


def test_an_optimizer_without_a_scheduler_begins_as_the_config_says(tmp_path: Path) -> None:
    stages = [stage("fit", epochs=2), stage("fit", epochs=2, reset=["optimizers.descent"])]
    descent = trained_by(made("SGD", lr=0.05, momentum=0.9), "net")
    twin = Twin(one_model({"optimizers": {"descent": descent}}, *stages), tmp_path)
    net = twin.models["net"]
    for _ in range(2):
        fit(net, SGD(net.parameters(), lr=0.05, momentum=0.9), batches_of(Points(10)))
    twin.check()


def test_a_beginning_happens_once_wherever_a_run_is_cut(tmp_path: Path) -> None:
    stages = [
        checked(3, name="wild"),
        checked(2, start_from=FROM_BEST, reset=["optimizers.descent"]),
        checked(1, start_from={"stage": "wild"}),
    ]
    runs = Runs(wild(*stages), tmp_path)
    runs.check_cuts()
    runs.check_cuts_in_validation(6)
    runs.check_all_cuts_in_one()


def with_average(*stages: Config) -> Config:
    """The same with an average, and a part of the model that starts by itself."""
    spec = wild(*stages, lr=0.05)
    models = {
        "ema": {"average_of": "net", "decay": 0.5},
        "last": {"part_of": "net", "path": "2"},
    }
    spec["initialize"]["definitions"] += [
        {"group": "models", "name": name, "spec": model} for name, model in models.items()
    ]
    spec["initialize"]["pipelines"]["check"] = {**CHECK, "models": {"net": "ema"}}
    return spec


@pytest.mark.parametrize(
    ("models", "reset"),
    [(None, []), (["ema"], []), (["last"], []), (None, ["averages.ema"])],
    ids=["the model", "the average", "a part", "the model, and the average anew"],
)
def test_averages_and_parts(tmp_path: Path, models: list[str] | None, reset: list[str]) -> None:
    """An average starts from another state where it is named, and a part without the rest."""
    start = {"stage": 0, "checkpoint": "last", **({"models": models} if models else {})}
    stages = [checked(1), checked(1), checked(1, start_from=start, reset=reset)]
    spec = with_average(*stages)
    twin = Twin(spec, tmp_path)
    net: Any = twin.models["net"]
    ema = copy.deepcopy(net)
    optimizer = SGD(net.parameters(), lr=0.05, momentum=0.5)
    updates = 0

    def train() -> None:
        nonlocal updates
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
            with torch.no_grad():
                for average, current in zip(ema.parameters(), net.parameters(), strict=True):
                    average.copy_(average.lerp(current, 0.5) if updates else current)
            updates += 1

    train()
    after = {"net": copy.deepcopy(net.state_dict()), "ema": copy.deepcopy(ema.state_dict())}
    train()
    if models is None:
        net.load_state_dict(after["net"])
    elif models == ["ema"]:
        ema.load_state_dict(after["ema"])
    else:
        own = {n.removeprefix("2."): v for n, v in after["net"].items() if n.startswith("2.")}
        net[2].load_state_dict(own)
    if reset:
        ema.load_state_dict(net.state_dict())
        updates = 0
    train()
    trained = twin.session.models
    for mine, theirs in ((net, trained["net"]), (ema, trained["ema"])):
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name
    runs = Runs(spec, tmp_path / "cut")
    runs.check_cuts([5, 6, 7])


def test_a_run_goes_on_in_the_same_process(tmp_path: Path) -> None:
    """Cut after the first stage, between the two, the beginning is still to come."""
    stages = [checked(3, name="wild"), checked(2, start_from=FROM_BEST)]
    runs = Runs(wild(*stages), tmp_path)
    session = runs.cut("between", evaluated=3)
    session.train()
    assert_same_bits(session.path, runs.plain)


def test_the_state_is_kept_until_the_stage_has_begun(tmp_path: Path) -> None:
    """The best of the first stage, though only one checkpoint is kept and others are better."""
    stages = [checked(4, name="wild"), checked(3), checked(1, start_from=FROM_BEST)]
    spec = wild(*stages)
    session = create_session(spec, session_dir=tmp_path / "run")
    session.train()
    history = session.history
    wild_rows = history[history["stage"] == "wild"]
    best = int(wild_rows.loc[wild_rows["held out"].idxmin(), "step"])
    overall = int(history.loc[history["held out"].idxmin(), "step"])
    names = {int(path.name.partition("-")[0]) for path in (session.path / "checkpoints").iterdir()}
    assert names == {overall, session.progress.step}
    assert best != overall or best in names


def test_a_state_that_is_gone_is_told(tmp_path: Path) -> None:
    spec = wild(checked(2, name="wild"), checked(2, start_from={"stage": 0, "checkpoint": "best"}))
    session = create_session(spec, session_dir=tmp_path / "run")
    starts, storage = StageStarts(session.spec, session.rows), session.folder.storage
    with pytest.raises(SessionError, match='no row of it has a "held out"'):
        starts.checkpoint_for(1, storage)
    session.train()
    starts = StageStarts(session.spec, session.rows)
    step = int(session.history.loc[session.history["held out"][:2].idxmin(), "step"])
    for name in storage.names():
        if name.startswith(f"{step:010d}"):
            storage.remove(name)
    with pytest.raises(SessionError, match=r"best state of stage 1 .*, which is not saved"):
        starts.checkpoint_for(1, storage)


@pytest.mark.parametrize(
    ("changes", "message", "place"),
    [
        (
            {"start_from": {"stage": "wlid"}},
            'no earlier stage is named "wlid"',
            ".start_from.stage",
        ),
        ({"start_from": {"stage": 1}}, "only an earlier stage", ".start_from.stage"),
        ({"start_from": {"stage": 0, "monitor": "error"}}, "kept by", ".start_from.monitor"),
        ({"start_from": {"stage": 0, "models": ["nte"]}}, 'named "nte"', ".start_from.models[0]"),
        (
            {"start_from": {"stage": 0, "checkpoint": "last", "monitor": "held out"}},
            '"monitor" belongs to the best',
            ".start_from.monitor",
        ),
        ({"start_from": {}}, "stage", ".start_from.stage"),
        ({"reset": ["optimizers.decent"]}, 'did you mean "optimizers.descent"?', ".reset[0]"),
        ({"reset": ["descent"]}, "nothing that can begin anew", ".reset[0]"),
        ({"reset": ["schedulers.descent"]}, "nothing that can begin anew", ".reset[0]"),
        ({"reset": ["optimizers.descent"] * 2}, "is listed twice", ".reset[1]"),
    ],
)
def test_mistakes(tmp_path: Path, changes: Config, message: str, place: str) -> None:
    spec = wild(checked(1, name="wild"), checked(1, **changes))
    with pytest.raises(ConfigError) as told:
        create_session(spec, session_dir=tmp_path / "run")
    (problem,) = told.value.problems
    assert message in problem.message
    assert problem.place.path == f"train.stages[1]{place}"


def test_the_best_needs_to_be_known(tmp_path: Path) -> None:
    spec = wild(stage("fit"), checked(1, start_from={"stage": 0}))
    with pytest.raises(ConfigError, match='no row of that stage has "held out"'):
        create_session(spec, session_dir=tmp_path / "run")
    del spec["checkpoints"]["best"]
    with pytest.raises(ConfigError, match="which is missing"):
        create_session(spec, session_dir=tmp_path / "run")
    first = wild(checked(1, reset=["optimizers.descent"]))
    with pytest.raises(ConfigError, match="nothing has begun before the first stage"):
        create_session(first, session_dir=tmp_path / "run")


def test_what_began_cannot_change(tmp_path: Path) -> None:
    stages = [stage("fit"), stage("fit", reset=["optimizers.descent"])]
    create_session(one_model({}, *stages), session_dir=tmp_path / "run").train()
    with pytest.raises(ConfigError, match="that happened when the stage began"):
        load_session(tmp_path / "run", settings=["train.stages[1].reset=[]"], accept_changes=True)


def test_every_kind_that_the_check_allows_can_be_reset() -> None:
    scheduled = trained_by({**made("SGD", lr=0.1), "lr_scheduler": STEP[0]}, "net")
    whole = one_model(
        {"optimizers": {"descent": scheduled}, "models": {"ema": {"average_of": "net"}}}
    )
    spec = spec_of(read(whole))
    assert spec is not None
    assert {name.partition(".")[0] for name in spec.resettable} == RESETS.keys()
