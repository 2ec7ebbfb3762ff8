"""Weights of losses that are objects: what they are told, what they multiply, and their state."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from exact_configs import Config, Twin, batches_of, loader, loss, made, one_model, stage
from exact_parts import Points
from exact_runs import Runs
from torch._dynamo.utils import counters
from torch.nn.functional import l1_loss, mse_loss

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, UserCodeError, UserError


class Growing:
    """1, 2, 3, … counted by itself, so that it has a state."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: int, epoch: int) -> float:
        self.calls += 1
        return float(self.calls)

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


class TellsAll:
    """Notes what it is told."""

    told: ClassVar[list[tuple[int, int]]] = []

    def __call__(self, step: int, epoch: int) -> float:
        self.told.append((step, epoch))
        return 1.0


class ByEpoch:
    """Half the number of the epoch."""

    def __call__(self, step: int, epoch: int) -> float:
        return 0.5 * epoch


class From:
    """1, and something else from a step on."""

    def __init__(self, step: int, value: Any) -> None:
        self.step, self.value = step, value

    def __call__(self, step: int, epoch: int) -> Any:
        numbers = {"nan": math.nan, "infinity": math.inf}
        return 1.0 if step < self.step else numbers.get(self.value, self.value)


class Plain:
    """Cannot be called."""


class Failing:
    def __call__(self, step: int, epoch: int) -> float:
        if step == 1:
            raise KeyError("no weight")
        return 1.0


def mine(name: str, *args: Any) -> Config:
    return made(f"{__name__}.{name}", *args)


RAMP = made("LinearRamp", 0.0, 2.0, 4)


def two_losses(weights: tuple[Any, Any], *stages: Config, per_batch: int = 4, **fit: Any) -> Config:
    groups = {
        "losses": {
            "square": {**made("MSELoss"), "inputs": ["y_hat", "y"]},
            "linear": {**made("L1Loss"), "inputs": ["y_hat", "y"]},
        },
        "loader_factories": {"batches": loader("points", per_batch)},
    }
    losses = [loss("square", weight=weights[0]), loss("linear", weight=weights[1])]
    return one_model(groups, *stages, pipeline={"losses": losses, **fit})


def ramp(step: int) -> float:
    return min(step / 4, 1.0) * 2.0


def train(twin: Twin, weights: Callable[[int, int], tuple[float, float]], epochs: int = 2) -> None:
    net = twin.models["net"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    step = 0
    for epoch in range(1, epochs + 1):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            one, other = weights(step, epoch)
            y_hat = net(x)
            (one * mse_loss(y_hat, y) + other * l1_loss(y_hat, y)).backward()
            optimizer.step()
            step += 1


def test_a_ramp_counts_the_steps_of_its_stage(tmp_path: Path) -> None:
    twin = Twin(two_losses((1.0, RAMP)), tmp_path)
    train(twin, lambda step, epoch: (1.0, ramp(step)))
    twin.check()


def test_a_weight_may_follow_the_epoch(tmp_path: Path) -> None:
    twin = Twin(two_losses((2, mine("ByEpoch")), stage("fit", epochs=3)), tmp_path)
    train(twin, lambda step, epoch: (2.0, 0.5 * epoch), epochs=3)
    twin.check()


def test_what_a_weight_is_told(tmp_path: Path) -> None:
    TellsAll.told.clear()
    session = create_session(
        two_losses((mine("TellsAll"), 1), stage("fit"), stage("fit", epochs=1)),
        session_dir=tmp_path / "session",
        preflight=False,
    )
    session.train()
    first = [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]
    assert TellsAll.told == [*first, (0, 1), (1, 1), (2, 1)]


def test_normalized_weights_of_each_step(tmp_path: Path) -> None:
    twin = Twin(two_losses((1, RAMP), normalize_weights=True), tmp_path)
    train(twin, lambda step, epoch: (1 / (1 + ramp(step)), ramp(step) / (1 + ramp(step))))
    twin.check()


def test_accumulation_asks_once_a_step(tmp_path: Path) -> None:
    fit = {"gradient_accumulation": 2}
    twin = Twin(two_losses((1.0, RAMP), per_batch=2, **fit), tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    step = 0
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            y_hat = net(x)
            (mse_loss(y_hat, y) + ramp(step) * l1_loss(y_hat, y)).backward()
            optimizer.step()
            step += 1
    for mine_, theirs in zip(
        twin.session.models["net"].parameters(), net.parameters(), strict=True
    ):
        torch.testing.assert_close(mine_, theirs)


def test_a_compiled_step_is_compiled_once(tmp_path: Path) -> None:
    graphs = []
    for name, weight in (("number", 0.5), ("ramp", made("LinearRamp", 0.0, 2.0, 30))):
        compiled = {"backend": "eager", "fullgraph": True}
        config = two_losses((1.0, weight), stage("fit", epochs=4), per_batch=5, compile=compiled)
        session = create_session(config, session_dir=tmp_path / name)
        counters.clear()
        session.train()
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1]


def test_a_compiled_step_is_weighted(tmp_path: Path) -> None:
    config = two_losses((1.0, RAMP), compile={"backend": "aot_eager"})
    twin = Twin(config, tmp_path)
    train(twin, lambda step, epoch: (1.0, ramp(step)))
    twin.check()


def test_the_history_shows_losses_without_scheduled_weights(tmp_path: Path) -> None:
    shown = []
    for name, weight in (("one", RAMP), ("none", made("PiecewiseConstant", {"0": 0.0}))):
        session = create_session(two_losses((1.0, weight)), session_dir=tmp_path / name)
        session.train()
        shown.append(session.history.loc[0, "linear"])
    assert 0 < shown[0] < 10 * shown[1]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_it_goes_on_from_any_iteration(tmp_path: Path, accumulated: int) -> None:
    weights = (mine("Growing"), RAMP)
    config = two_losses(weights, per_batch=2, gradient_accumulation=accumulated)
    runs = Runs(config, tmp_path)
    runs.check_cuts()
    session = load_session(runs.plain)
    (schedule, _) = session.pipelines["fit"].schedules.values()
    assert schedule.function.calls == runs.steps


def test_the_preflight_leaves_no_trace_in_a_weight(tmp_path: Path) -> None:
    config = two_losses((mine("Growing"), 1))
    session = create_session(config, session_dir=tmp_path / "session", preflight=True)
    assert session.pipelines["fit"].schedules["square"].function.calls == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nan", "is nan at step 2 (epoch 1)"),
        ("infinity", "is inf at step 2"),
        ("much", "is a str at step 2"),
        (True, "is a bool at step 2"),
        (None, "is a NoneType at step 2"),
    ],
)
def test_a_weight_that_is_no_number_is_told_with_its_place(
    tmp_path: Path, value: Any, words: str
) -> None:
    config = two_losses((1, mine("From", 2, value)))
    session = create_session(config, session_dir=tmp_path / "session")
    with pytest.raises(UserError) as raised:
        session.train()
    (problem,) = raised.value.problems
    assert words in problem.message
    assert problem.message.startswith('the weight of the loss "linear"')
    assert problem.place.path == "initialize.pipelines.fit.losses[1].weight"


def test_the_preflight_finds_a_weight_that_is_no_number(tmp_path: Path) -> None:
    config = two_losses((1, mine("From", 0, "much")))
    with pytest.raises(ConfigError) as raised:
        create_session(config, session_dir=tmp_path / "session")
    assert {problem.place.path for problem in raised.value.problems} == {
        "initialize.pipelines.fit.losses[1].weight"
    }


def test_weights_that_come_to_add_up_to_nothing(tmp_path: Path) -> None:
    weights = (1, made("PiecewiseConstant", {"0": 1, "2": -1}))
    config = two_losses(weights, normalize_weights=True)
    session = create_session(config, session_dir=tmp_path / "session")
    with pytest.raises(UserError, match="add up to 0 at step 2 "):
        session.train()


def test_a_weight_that_raises_is_the_users_error(tmp_path: Path) -> None:
    session = create_session(two_losses((1, mine("Failing"))), session_dir=tmp_path / "session")
    with pytest.raises(UserCodeError, match='the weight of the loss "linear", in the pipeline'):
        session.train()


@pytest.mark.parametrize(
    ("weight", "path", "words"),
    [
        (made("LinearRmp", 0.0, 1.0, 5), ".class", 'did you mean "LinearRamp"'),
        (made("LinearRamp", 0.0, 1.0), "", "steps"),
        (made("LinearRamp", 0.0, 1.0, 0), "", "steps must be a whole number"),
        (made("PiecewiseConstant", {"5": 1}), "", '"0"'),
        (made("torch.nn.Linear", 1, 1), ".class", "not a weight of a loss"),
        (mine("Plain"), "", "is not a weight of a loss (it cannot be called)"),
    ],
)
def test_a_weight_that_cannot_be_made_is_told_with_its_place(
    tmp_path: Path, weight: Config, path: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        create_session(two_losses((1, weight)), session_dir=tmp_path / "session")
    (problem,) = raised.value.problems
    assert words in problem.message
    assert problem.place.path.startswith(f"initialize.pipelines.fit.losses[1].weight{path}")
