"""Two tasks over one stem, whose conflicting gradients PCGrad projects (``combine``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from combining_parts import Opposed, PCGrad
from exact_configs import Config, Twin, batches_of, feed, loader, loss, made, node, stage
from exact_configs import config as whole_config
from exact_runs import Runs
from torch.nn.functional import l1_loss, mse_loss

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError, UserCodeError
from torchassistant.session import Draft
from torchassistant.training import NotFinite

PCGRAD = made("combining_parts.PCGrad", seed=4)
SUMMED = made("combining_parts.summed")


def tasks(combine: Config | None = PCGRAD, *stages: Config, **pipeline: Any) -> Config:
    groups = {
        "datasets": {"points": made("combining_parts.Opposed", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": made("combining_parts.TwoTasks")},
        "optimizers": {"adam": {**made("Adam", lr=0.02), "model": "net"}},
        "losses": {
            "first": {**made("MSELoss"), "inputs": ["a_hat", "a"]},
            "second": {**made("L1Loss"), "inputs": ["b_hat", "b"]},
        },
        "gradient_clippers": {"short": {"model": "net", "clip_norm": 0.5}},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "a_hat b_hat", "adam")]}},
    }
    fit = {
        "input_factories": [feed("batches", "x a b")],
        "losses": [loss("first"), loss("second", weight=0.5)],
        **({} if combine is None else {"combine": combine}),
        **pipeline,
    }
    return whole_config(groups, {"fit": fit}, *(stages or [stage("fit", epochs=3)]))


def test_it_trains_as_the_loop(tmp_path: Path) -> None:
    twin = Twin(tasks(), tmp_path)
    net, surgery = twin.models["net"], PCGrad(4)
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    history = []
    for _ in range(3):
        total = 0.0
        for x, a, b in batches_of(Opposed(10)):
            adam.zero_grad()
            a_hat, b_hat = net(x)
            losses = {"first": mse_loss(a_hat, a), "second": l1_loss(b_hat, b)}
            total += losses["second"].item() * len(x)
            losses["second"] = losses["second"] * 0.5
            surgery(losses, list(net.parameters()))
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            adam.step()
        history.append(total / 10)
    twin.check()
    assert surgery.conflicts > 3
    assert twin.session.history["second"].tolist() == pytest.approx(history, rel=1e-12)
    assert twin.session.pipelines["fit"].combine.conflicts == surgery.conflicts
    again = load_session(twin.session.path)
    assert again.pipelines["fit"].combine.conflicts == surgery.conflicts


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(tasks(), tmp_path).check_cuts()


@pytest.mark.parametrize("more", [{}, {"compile": {"backend": "eager"}}])
def test_a_sum_is_what_there_is_without_it(tmp_path: Path, more: Config) -> None:
    trained = []
    for name, combine in (("with", SUMMED), ("without", None)):
        (tmp_path / name).mkdir()
        twin = Twin(tasks(combine, **(more if combine else {})), tmp_path / name)
        trained.append(twin.session.models["net"].parameters())
    assert all(map(torch.equal, *trained))


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    made_nan = tasks(PCGRAD)
    made_nan["initialize"]["definitions"][0]["spec"] = made("combining_parts.WithNan")
    session = create_session(made_nan, tmp_path / "run", preflight=False)
    with pytest.raises(NotFinite, match='the column "x" of the batch is not finite itself'):
        session.train()
    session = create_session({**made_nan, "on_nonfinite": "skip"}, tmp_path / "skip")
    session.train()
    assert session.history["skipped"].tolist() == [1, 1, 1]


# What is told


@pytest.mark.parametrize("preflight", [True, False])
@pytest.mark.parametrize(
    ("combine", "error", "message"),
    [
        ("forgets", (ConfigError, DataError), "has left no gradient with any parameter"),
        ("raises", UserCodeError, '"combine" of the pipeline "fit"'),
    ],
)
def test_one_that_fails(
    tmp_path: Path, combine: str, error: Any, message: str, preflight: bool
) -> None:
    config = tasks(made(f"combining_parts.{combine}"))
    with pytest.raises(error, match=message) as caught:
        create_session(config, tmp_path / "run", preflight=preflight).train()
    if preflight and isinstance(caught.value, ConfigError):
        (problem,) = caught.value.problems
        assert problem.place.path == "initialize.pipelines.fit.combine"


def problem_of(config: Config) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        Draft(config)
    (problem,) = caught.value.problems
    return problem.place.path, problem.message


def test_what_it_excludes() -> None:
    place, message = problem_of(tasks(gradient_accumulation=2))
    assert place == "initialize.pipelines.fit.gradient_accumulation"
    assert '"combine" needs whole gradients' in message
    place, message = problem_of({**tasks(), "precision": "fp16"})
    assert place == "initialize.pipelines.fit.combine"
    assert '"bf16"' in message


def test_what_is_no_combination() -> None:
    place, message = problem_of(tasks(made("torch.nn.Tanh")))
    assert place == "initialize.pipelines.fit.combine.class"
    assert "combination of losses" in message
    place, message = problem_of(tasks(made("combining_parts.PCGrat")))
    assert place == "initialize.pipelines.fit.combine.class"
    assert "PCGrad" in message
    place, _ = problem_of(tasks(made("combining_parts.PCGrad", sead=3)))
    assert place == "initialize.pipelines.fit.combine.kwargs.sead"


def test_a_pipeline_that_is_not_trained() -> None:
    config = tasks(None, stage("fit", validation=["check"]))
    config["initialize"]["pipelines"]["check"] = {
        "input_factories": [feed("batches", "x a b")],
        "losses": [loss("first", loss_display_name="val")],
        "combine": PCGRAD,
    }
    place, message = problem_of(config)
    assert place == "initialize.pipelines.check.combine"
    assert "no stage trains this pipeline" in message
