"""Optimizers that compute the loss again in each step train as in a plain loop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from closure_parts import Twice
from exact_configs import (
    Config,
    Twin,
    batches_of,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_configs import config as whole_config
from exact_parts import Points
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import StepLR

from torchassistant import create_session
from torchassistant.errors import ConfigError, DataError
from torchassistant.session import Draft
from torchassistant.training import NotFinite, is_by_closure

NOISY = made("closure_parts.Noisy")
LBFGS = made("LBFGS", lr=0.2, max_iter=4)


def by(optimizer: Config, model: Config | None = None, **more: Any) -> Config:
    groups: dict[str, Any] = {"optimizers": {"descent": {**optimizer, "model": "net"}}}
    if model is not None:
        groups["models"] = {"net": model}
    groups.update(more.pop("groups", {}))
    return one_model(groups, **more)


def closure_of(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[Any],
    clip: float | None = None,
) -> Callable[[], Tensor]:
    """The mean over all examples of these batches, as a function of the weights."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        x, y = (torch.cat(columns) for columns in zip(*batches, strict=True))
        loss = mse_loss(net(x), y)
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        return loss

    return closure


@pytest.mark.parametrize("clip", [None, 0.2])
def test_clippers_act_inside_the_closure(tmp_path: Path, clip: float | None) -> None:
    clippers = {"short": {"model": "net", "clip_norm": clip}} if clip else {}
    twin = Twin(by(LBFGS, groups={"gradient_clippers": clippers}), tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.2, max_iter=4)
    for _ in range(2):
        for batch in batches_of(Points(10)):
            optimizer.step(closure_of(net, optimizer, [batch], clip))
    twin.check()


def test_each_call_draws_and_moves_what_the_first_one_did(tmp_path: Path) -> None:
    twin = Twin(by(LBFGS, NOISY), tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.2, max_iter=4)
    for _ in range(2):
        for batch in batches_of(Points(10)):
            closure = closure_of(net, optimizer, [batch])
            began = torch.get_rng_state(), net.generator.get_state(), buffers(net)
            left: list[Any] = []

            def repeated(closure: Any = closure, began: Any = began, left: Any = left) -> Tensor:
                torch.set_rng_state(began[0])
                net.generator.set_state(began[1])
                if not left:
                    value = closure()
                    left.append(buffers(net))
                    return value
                put(net, began[2])
                value = closure()
                put(net, left[0])
                return value

            optimizer.step(repeated)
    twin.check()


def buffers(net: nn.Module) -> list[Tensor]:
    return [buffer.clone() for buffer in net.buffers()]


def put(net: nn.Module, values: list[Tensor]) -> None:
    for buffer, value in zip(net.buffers(), values, strict=True):
        buffer.copy_(value)


def test_with_accumulation_the_closure_is_the_whole_window(tmp_path: Path) -> None:
    search = {"lr": 0.2, "max_iter": 4, "line_search_fn": "strong_wolfe"}
    made_by = by(made("LBFGS", **search), pipeline={"gradient_accumulation": 2})
    twin = Twin(made_by, tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.LBFGS(net.parameters(), **search)
    batches = list(batches_of(Points(10)))
    for _ in range(2):
        for window in (batches[:2], batches[2:]):
            optimizer.step(closure_of(net, optimizer, window))
    for mine, theirs in zip(twin.session.models["net"].parameters(), net.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_another_optimizer_steps_by_the_gradients_of_the_last_call(tmp_path: Path) -> None:
    config = whole_config(
        {
            "datasets": {"points": part("Points", 10)},
            "loader_factories": {"batches": loader("points")},
            "models": {
                "stem": layers(layer("Linear", 4, 6), layer("Tanh")),
                "head": layer("Linear", 6, 1),
            },
            "optimizers": {
                "adam": trained_by(made("Adam", lr=0.01), "stem"),
                "twice": trained_by(made("closure_parts.Twice", lr=0.1), "head"),
            },
            "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
            "batch_processors": {
                "run": {
                    "neural_graph": [
                        node("stem", "x", "h", "adam"),
                        node("head", "h", "y_hat", "twice"),
                    ]
                }
            },
        },
        {"fit": {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}},
        stage("fit"),
    )
    twin = Twin(config, tmp_path)
    stem, head = twin.models["stem"], twin.models["head"]
    adam = torch.optim.Adam(stem.parameters(), lr=0.01)
    twice = Twice(head.parameters(), lr=0.1)
    for _ in range(2):
        for x, y in batches_of(Points(10)):

            def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
                adam.zero_grad()
                twice.zero_grad()
                loss = mse_loss(head(stem(x)), y)
                loss.backward()
                return loss

            twice.step(closure)
            adam.step()
    twin.check()


def test_a_scheduler_counts_one_step(tmp_path: Path) -> None:
    scheduled = {"class": "StepLR", "kwargs": {"step_size": 1, "gamma": 0.5}, "interval": "step"}
    session = create_session(by({**LBFGS, "lr_scheduler": scheduled}), tmp_path / "run")
    session.train()
    (group,) = session.optimizers["descent"].param_groups
    assert group["lr"] == 0.2 * 0.5**6


def test_only_what_demands_a_closure_gets_one() -> None:
    """A scheduler puts another function in the place of the step."""
    for kind, asks in ((torch.optim.SGD, False), (torch.optim.LBFGS, True)):
        optimizer = kind([nn.Parameter(torch.ones(1))], lr=0.1)
        assert is_by_closure(optimizer) is asks
        StepLR(optimizer, 1)
        assert is_by_closure(optimizer) is asks


def test_what_is_compiled_trains_alike(tmp_path: Path) -> None:
    trained = []
    for name in ("plain", "compiled"):
        (tmp_path / name).mkdir()
        compiled = {"compile": {"backend": "eager"}} if name == "compiled" else {}
        trained.append(Twin(by(LBFGS, pipeline=compiled), tmp_path / name).session.models["net"])
    assert all(map(torch.equal, *(net.parameters() for net in trained)))


@pytest.mark.parametrize("accumulated", [1, 2])
def test_it_goes_on_from_any_iteration(tmp_path: Path, accumulated: int) -> None:
    pipeline = {"gradient_accumulation": accumulated}
    Runs(by(made("LBFGS", lr=0.2, max_iter=3), NOISY, pipeline=pipeline), tmp_path).check_cuts()


def test_a_scheduled_weight_is_one_number_in_each_step(tmp_path: Path) -> None:
    weighted = {"losses": [loss("error", weight=made("closure_parts.Counting"))]}
    twin = Twin(by(made("closure_parts.Twice", lr=0.1), pipeline=weighted), tmp_path)
    net = twin.models["net"]
    optimizer = Twice(net.parameters(), lr=0.1)
    calls = 0
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            calls += 1

            def closure(x: Tensor = x, y: Tensor = y, weight: float = 1 + calls / 8) -> Tensor:
                optimizer.zero_grad()
                value = mse_loss(net(x), y) * weight
                value.backward()
                return value

            optimizer.step(closure)
    twin.check()


def test_a_history_with_a_bound_is_stored(tmp_path: Path) -> None:
    Runs(by(made("closure_parts.Remembers", lr=0.1)), tmp_path).check_cuts()


def test_a_batch_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    """The same weights as without it, though the weights are what a step ends with."""
    runs = []
    for name, dataset in (("with", "closure_parts.WithNan"), ("without", "closure_parts.Rest")):
        config = by(LBFGS, groups={"datasets": {"points": made(dataset)}})
        config["on_nonfinite"] = "skip"
        session = create_session(config, tmp_path / name, preflight=False)
        session.train()
        runs.append(session)
    one, other = runs
    assert all(map(torch.equal, *(s.models["net"].parameters() for s in runs)))
    assert one.history["skipped"].tolist() == [1, 1]
    assert other.history["skipped"].tolist() == [0, 0]


def test_weights_that_are_not_finite_end_the_run(tmp_path: Path) -> None:
    session = create_session(by(made("closure_parts.Explodes", lr=0.1)), tmp_path / "run")
    message = (
        r'the step of the optimizer "descent" made weights that are not finite, in iteration \d of '
        'the pipeline "fit", though the loss that it began with is finite; the batch has the '
        "examples"
    )
    with pytest.raises(NotFinite, match=message):
        session.train()


def test_a_step_that_made_such_weights_is_left_out(tmp_path: Path) -> None:
    config = by(made("closure_parts.Explodes", lr=0.1), NOISY)
    config["on_nonfinite"] = "skip"
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    optimizer = Twice(net.parameters(), lr=0.1)
    left_out = 0
    for _ in range(2):
        for batch in batches_of(Points(10)):
            before = copy.deepcopy(net.state_dict())
            states = torch.get_rng_state(), net.generator.get_state()
            closure = closure_of(net, optimizer, [batch])
            calls: list[Any] = []

            def repeated(closure: Any = closure, calls: Any = calls, states: Any = states) -> Any:
                if not calls:
                    calls.append(closure())
                    calls.append(buffers(net))
                    return calls[0]
                torch.set_rng_state(states[0])
                net.generator.set_state(states[1])
                value = closure()
                put(net, calls[1])
                return value

            if optimizer.step(repeated) > 1.5:
                net.load_state_dict(before)
                left_out += 1
    twin.check()
    assert sum(twin.session.history["skipped"]) == left_out > 0
    state = twin.session.optimizers["descent"].state_dict()["state"]
    assert len(state[0]["calls"]) == 6 - left_out


# What is told


def test_a_closure_that_is_never_called(tmp_path: Path) -> None:
    config = by(made("closure_parts.NeverCalls", lr=0.1))
    session = create_session(config, tmp_path / "run", preflight=False)
    message = 'step of the optimizer "descent", in the pipeline "fit", has not called its closure'
    with pytest.raises(DataError, match=message):
        session.train()


@pytest.mark.parametrize("is_made_by_function", [False, True])
def test_fp16(tmp_path: Path, is_made_by_function: bool) -> None:
    optimizer = {"factory_fn": "closure_parts.lbfgs"} if is_made_by_function else LBFGS
    with pytest.raises(ConfigError) as caught:
        create_session({**by(optimizer), "precision": "fp16"}, tmp_path / "run")
    (problem,) = caught.value.problems
    assert problem.place.path == "initialize.definitions[3].spec"
    assert "LBFGS needs a closure" in problem.message
    assert '"bf16"' in problem.message


@pytest.mark.parametrize("is_made_by_function", [False, True])
def test_two_of_them_in_one_pipeline(tmp_path: Path, is_made_by_function: bool) -> None:
    second = {"factory_fn": "closure_parts.lbfgs", "kwargs": {"model": "other"}}
    processor = {
        "neural_graph": [
            node("net", "x", "h", "descent"),
            node("other", "h", "y_hat", "second"),
        ]
    }
    config = by(
        LBFGS,
        groups={
            "models": {"net": layer("Linear", 4, 4), "other": layer("Linear", 4, 1)},
            "optimizers": {
                "descent": {**LBFGS, "model": "net"},
                "second": {**(second if is_made_by_function else LBFGS), "model": "other"},
            },
            "batch_processors": {"run": processor},
        },
    )
    with pytest.raises(ConfigError) as caught:
        if is_made_by_function:
            create_session(config, tmp_path / "run")
        else:
            Draft(config)
    (problem,) = caught.value.problems
    assert problem.place.path == "initialize.pipelines.fit"
    assert 'the optimizers "descent" and "second" both need a closure' in problem.message
