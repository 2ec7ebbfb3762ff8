"""Rows within the epochs: what a plain loop measures, and the same after a cut anywhere."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    feed,
    layer,
    loss,
    made,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Cut, Runs, cut_alone
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import StepLR

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, Interrupted
from torchassistant.gradient_norm import gradient_norm
from torchassistant.learning_rates import LearningRates
from torchassistant.session import Session
from torchassistant.training import Progress, StepLog
from torchassistant.training.nan_guard import NanGuard
from torchassistant.training.steps.step_kinds import train_step_of

GROUPED = {
    **trained_by(made("SGD", lr=0.05), "net"),
    "parameters": [{"match": "*.bias", "name": "biases", "kwargs": {"lr": 0.2}}],
    "lr_scheduler": {**made("StepLR", step_size=2, gamma=0.5), "interval": "step"},
}
"""With a scheduler that steps with it; epochs of Points have 3 batches, the last of 2 examples."""


def logged(config: Config, every: int = 1, **more: Any) -> Config:
    return {**config, "log": {"every_iterations": every}, **more}


def rows_of(session: Session, stage: int = 0) -> list[dict[str, Any]]:
    """The rows within the epochs, without their times, as the file holds them."""
    with (session.path / "metrics" / f"steps-{stage}.csv").open() as file:
        found = [dict(row) for row in csv.DictReader(file)]
    assert [float(row.pop("time")) for row in found] == sorted(
        session.rows.step_rows(stage)[i]["time"] for i in range(len(found))
    )
    return found


def mean(values: Iterable[tuple[float, int]]) -> float:
    """The mean over all examples of means over some."""
    total, count = 0.0, 0
    for value, terms in values:
        total += value * terms
        count += terms
    return total / count


def norm_of(optimizer: Optimizer) -> float:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return clip_grad_norm_(parameters, float("inf")).item()


@pytest.mark.parametrize("every", [1, 2, 4])
def test_losses_rates_and_norms_are_those_of_a_plain_loop(tmp_path: Path, every: int) -> None:
    clippers = {"short": {"model": "net", "clip_norm": 0.1}}
    groups = {"optimizers": {"descent": GROUPED}, "gradient_clippers": clippers}
    twin = Twin(logged(one_model(groups), every), tmp_path)
    net, expected, since = twin.models["net"], [], []
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    others = [p for name, p in net.named_parameters() if not name.endswith("bias")]
    sgd = SGD([{"params": biases, "lr": 0.2}, {"params": others}], lr=0.05)
    scheduler = StepLR(sgd, 2, 0.5)
    for step, (x, y) in enumerate([*batches_of(Points(10))] * 2, 1):
        sgd.zero_grad()
        error = mse_loss(net(x), y)
        error.backward()
        norm = norm_of(sgd)
        clip_grad_norm_(net.parameters(), 0.1)
        sgd.step()
        scheduler.step()
        since.append((error.item(), len(x)))
        if step % every == 0:
            rates = [repr(float(rate)) for rate in scheduler.get_last_lr()]
            expected.append(
                {
                    "epoch": str(1 if step <= 3 else 2),
                    "step": str(step),
                    "error": repr(mean(since)),
                    "lr/descent/biases": rates[0],
                    "lr/descent/rest": rates[1],
                    "grad_norm/descent": repr(norm),
                }
            )
            since = []
    twin.check()
    assert rows_of(twin.session) == expected


def test_an_accumulated_step_has_the_norm_of_its_whole_gradient(tmp_path: Path) -> None:
    config = logged(one_model(pipeline={"gradient_accumulation": 3}))
    twin = Twin(config, tmp_path)
    net, expected = twin.models["net"], []
    sgd = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        sgd.zero_grad()
        # As the run adds up: sums over terms, in units of the first batch's.
        sums: dict[Tensor, Tensor] = {}
        for x, y in batches_of(Points(10)):
            error = mse_loss(net(x), y, reduction="sum") / 4
            gradients = torch.autograd.grad(error, [*net.parameters()])
            for p, g in zip(net.parameters(), gradients, strict=True):
                sums[p] = sums[p] + g if p in sums else g
        for p, g in sums.items():
            p.grad = g * (4 / 10)
        expected.append(norm_of(sgd))
        sgd.step()
    twin.check()
    rows = twin.session.rows.step_rows(0)
    assert [row["grad_norm/descent"] for row in rows] == expected
    assert [row["step"] for row in rows] == [1, 2]


def test_the_closure_of_an_optimizer_tells_of_its_first_call(tmp_path: Path) -> None:
    lbfgs = trained_by(made("LBFGS", lr=0.2, max_iter=3), "net")
    twin = Twin(logged(one_model({"optimizers": {"descent": lbfgs}})), tmp_path)
    net, expected = twin.models["net"], []
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.2, max_iter=3)
    for x, y in [*batches_of(Points(10))] * 2:
        calls: list[tuple[float, float]] = []

        def closure(x: Tensor = x, y: Tensor = y, calls: Any = calls) -> Tensor:
            optimizer.zero_grad()
            error = mse_loss(net(x), y)
            error.backward()
            calls.append((error.item(), norm_of(optimizer)))
            return error

        optimizer.step(closure)  # type: ignore[arg-type]
        expected.append(calls[0])
    twin.check()
    rows = twin.session.rows.step_rows(0)
    assert [(row["error"], row["grad_norm/descent"]) for row in rows] == expected
    assert {row["lr/descent"] for row in rows} == {0.2}


def gan(every: int, **more: Any) -> Config:
    """Two models that take turns: ``first`` each iteration twice, ``second`` in each third one."""
    models = {"net": layer("Linear", 4, 1), "other": layer("Linear", 4, 1)}
    processor = {
        "second": {"neural_graph": [{
            "model_name": "other", "inputs": ["x"], "outputs": ["y_hat"],
            "optimizer_name": "slow"}]},
    }  # fmt: skip
    groups = {
        "models": models,
        "optimizers": {"slow": trained_by(made("SGD", lr=0.01), "other")},
        "batch_processors": {
            "first": {"neural_graph": [{
                "model_name": "net", "inputs": ["x"], "outputs": ["y_hat"],
                "optimizer_name": "descent"}]},
            **processor,
        },
        "batch_graphs": {
            name: {"nodes": [name], "input_aliases": ["in"], "ingoing_edges": {name: ["in"]}}
            for name in ("first", "second")
        },
        "datasets": {"points": part("Points", 26)},
    }  # fmt: skip
    second = {
        "graph": "second",
        "input_factories": [feed("batches", "x y", "in")],
        "losses": [loss("error", "second")],
    }
    first = {
        "graph": "first",
        "input_factories": [feed("batches", "x y", "in")],
        "losses": [loss("error", "first")],
    }
    turns = stage(
        {"pipeline": "fit", "repeat": 2},
        {"pipeline": "second", "every": 3, "from": 1},
        epochs=2,
        **{"epoch_length": 4, **more},
    )
    return logged(one_model(groups, turns, pipeline=first, second=second), every)


def test_what_sits_out_has_its_last_norm_or_an_empty_cell(tmp_path: Path) -> None:
    session = create_session(gan(2), session_dir=tmp_path / "run")
    session.train()
    # The second one runs in the iterations with the numbers 3 and 6, the fourth and the seventh.
    rows = rows_of(session)
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    assert [bool(row["grad_norm/slow"]) for row in rows] == [False, True, False, True]
    assert [bool(row["second error"]) for row in rows] == [False, True, False, True]
    assert all(row["grad_norm/descent"] and row["fit error"] for row in rows)
    assert list(rows[0])[2:] == [
        "fit error",
        "second error",
        "lr/descent",
        "lr/slow",
        "grad_norm/descent",
        "grad_norm/slow",
    ]


def own_step(every: int) -> Config:
    fit = {"losses": [], "train_step": {"class": "step_log_parts.EachSecond", "losses": ["error"]}}
    return logged(one_model(pipeline=fit), every)


def test_a_step_of_ones_own_tells_of_the_optimizer_that_steps(tmp_path: Path) -> None:
    twin = Twin(own_step(1), tmp_path)
    net, expected = twin.models["net"], []
    sgd = SGD(net.parameters(), lr=0.05)
    for step, (x, y) in enumerate([*batches_of(Points(10))] * 2, 1):
        mse_loss(net(x), y).backward()
        expected.append(None)
        if step % 2 == 0:
            expected[-1] = norm_of(sgd)
            sgd.step()
            sgd.zero_grad()
    rows = twin.session.rows.step_rows(0)
    assert [row["grad_norm/descent"] for row in rows] == expected
    twin.check()


@pytest.mark.parametrize(
    "config",
    [
        logged(one_model({"optimizers": {"descent": GROUPED}}), 2),
        gan(3),
        gan(3, validate={"every_iterations": 3}, validation=["second"], epoch_length=5),
        own_step(4),
    ],
    ids=["between rows", "turns", "validation within the epoch", "own step"],
)  # fmt: skip
def test_a_run_that_was_cut_has_the_same_rows(tmp_path: Path, config: Config) -> None:
    runs = Runs(config, tmp_path)
    assert rows_of(load_session(runs.plain))
    runs.check_all_cuts_in_one()


def test_a_new_stage_begins_a_file_and_its_means(tmp_path: Path) -> None:
    config = logged(one_model(None, stage("fit", epochs=1), stage("fit", epochs=1)), 2)
    runs = Runs(config, tmp_path)
    session = load_session(runs.plain)
    first, second = rows_of(session, 0), rows_of(session, 1)
    assert [row["step"] for row in first] == ["2"]
    assert [row["step"] for row in second] == ["4", "6"]
    table = session.step_history
    assert list(table["stage"]) == [0, 1, 1]
    assert list(table.columns)[-1] == "time"
    alone = one_model(None, stage("fit", epochs=1))
    plain = create_session(logged(alone, 1), session_dir=tmp_path / "alone")
    plain.train()
    assert float(first[0]["error"]) == mean(
        (row["error"], 4) for row in plain.rows.step_rows(0)[:2]
    )
    runs.check_cuts()


def test_log_may_be_changed_in_the_middle_of_a_stage(tmp_path: Path) -> None:
    create_session(one_model(), session_dir=tmp_path / "run")
    cut_alone(tmp_path / "run", iteration=2)
    session = load_session(tmp_path / "run", settings=["log.every_iterations=1"])
    cut = Cut(iteration=2)
    with pytest.raises(Interrupted):
        session.train(cut, cut.stop)
    assert [row["step"] for row in rows_of(session)] == ["3", "4"]
    session = load_session(tmp_path / "run", settings=["log=null"])
    session.train()
    assert [row["step"] for row in rows_of(session)] == ["3", "4"]
    changes = (tmp_path / "run" / "changes.jsonl").read_text()
    assert changes.count('"effect": "applied"') == 2


def test_each_row_has_its_time(tmp_path: Path) -> None:
    before = time.time()
    session = create_session(logged(one_model(), 2), session_dir=tmp_path / "run")
    session.train()
    times = session.rows.times(0)
    assert list(times) == [row["step"] for row in session.rows.rows(0)]
    steps = {row["step"]: row["time"] for row in session.rows.step_rows(0)}
    every = [before, *(when for _, when in sorted({**steps, **times}.items())), time.time()]
    assert every == sorted(every)


@pytest.mark.parametrize("name", ["time", "lr/descent", "grad_norm/x"])
def test_a_display_name_is_no_other_column(tmp_path: Path, name: str) -> None:
    config = one_model(pipeline={"losses": [loss("error", loss_display_name=name)]})
    with pytest.raises(ConfigError, match='is a column of the rows that "log" adds'):
        create_session(logged(config), session_dir=tmp_path / "run")
    create_session(config, session_dir=tmp_path / "run")


def test_no_row_is_asked_for_without_a_number(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r'log\.every_iterations: the key "every_iterations" is missing'
    ):
        create_session({**one_model(), "log": {}}, session_dir=tmp_path / "run")


def test_nothing_of_it_is_in_the_loop_of_a_run_without_log(tmp_path: Path) -> None:
    session = create_session(one_model(), session_dir=tmp_path / "run")
    (stage,) = session.stages
    step = train_step_of(stage.training[0], stage, [], Progress())
    assert step.add_losses == step.losses.add
    (listens,) = step.gradients.gradients_computed  # type: ignore[union-attr]
    assert type(listens.__self__) is NanGuard  # type: ignore[attr-defined]
    session.train()
    assert not (tmp_path / "run" / "metrics" / "steps-0.csv").exists()


def test_groups_without_a_name_of_their_own_are_called_by_their_place() -> None:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(4)]
    names = ["a", "b", "b", None]
    groups = [{"params": [w], "lr": i / 8} for i, w in enumerate(weights)]
    for group, name in zip(groups, names, strict=True):
        group |= {} if name is None else {"name": name}
    optimizers = {"sgd": SGD(groups), "one": SGD(weights, lr=torch.tensor(0.5))}
    columns = ["lr/sgd/a", "lr/sgd/1", "lr/sgd/2", "lr/sgd/3", "lr/one"]
    rates = LearningRates(optimizers)
    assert rates.columns == columns
    found = dict(zip(columns, [0.0, 0.125, 0.25, 0.375, 0.5], strict=True))
    assert rates.of(optimizers) == found
    for optimizer in optimizers.values():
        optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 1.0})
    assert rates.of(optimizers) == found
    assert rates.later(optimizers) == ["sgd/4", "one/1"]


def test_sparse_gradients_and_missing_ones_have_a_norm() -> None:
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    other = torch.zeros(3, requires_grad=True)
    optimizer = SGD([*embedding.parameters(), other], lr=0.1)
    assert gradient_norm(optimizer) is None
    embedding(torch.tensor([1, 1, 3])).sum().backward()
    # Two rows have a gradient, of which one was read twice.
    assert gradient_norm(optimizer) == torch.tensor([2.0, 2.0, 1.0, 1.0]).norm()
    other.grad = torch.full((3,), 2.0)
    assert gradient_norm(optimizer) == torch.tensor([2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 2.0]).norm()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"losses": [], "norms": {}},
        {"losses": {"fit": {"error": [1]}}, "norms": {}},
        {"losses": {}, "norms": {"adam": "1"}},
    ],
)
def test_what_is_no_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no losses and norms"):
        StepLog(1).load_state_dict(state)
