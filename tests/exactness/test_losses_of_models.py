"""Losses that are called with models: their mode, their buffers, what trains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_losses
import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    layer,
    layers,
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
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from torchassistant import create_session
from torchassistant.errors import ConfigError
from torchassistant.session.preflight import preflight

STEM = layers(layer("Linear", 4, 6), layer("Tanh"))
HEAD = layers(layer("BatchNorm1d", 6), layer("Linear", 6, 1))
FEATURES = layers(layer("Linear", 1, 5), layer("BatchNorm1d", 5), layer("Dropout", 0.3))


def trained(*nodes: Config, losses: Config, fit: Config | None = None, **more: Any) -> Config:
    """A stem at a node; a head and features that losses may name."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"stem": STEM, "head": HEAD, "features": FEATURES},
        "optimizers": {
            "of_stem": trained_by(made("SGD", lr=0.05), "stem"),
            "of_head": trained_by(made("SGD", lr=0.05), "head"),
        },
        "losses": losses,
        "batch_processors": {"run": {"neural_graph": [node("stem", "x", "h", "of_stem"), *nodes]}},
    }
    for group, named in more.items():
        groups[group] = {k: v for k, v in {**groups.get(group, {}), **named}.items() if v}
    pipeline = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss(name) for name in losses],
        **(fit or {}),
    }
    return config(groups, {"fit": pipeline}, stage("fit", epochs=2))


THROUGH = {
    "class": "model_losses.through",
    "models": ["head"],
    "optimizer_name": "of_head",
    "inputs": ["h", "y"],
}
PERCEPTUAL = {"class": "model_losses.perceptual", "models": ["features"], "inputs": ["said", "y"]}
AT_NODE = node("head", "h", "said", "of_head")
SMOOTH = {"average_of": "head", "decay": 0.5, "use_buffers": True}


def by_hand(twin: Twin, criterion: Callable[..., torch.Tensor], batch_size: int = 4) -> None:
    """Trains stem and head; the criterion gets x, y and what the stem gives."""
    stem, head = twin.models["stem"], twin.models["head"]
    optimizers = [SGD(model.parameters(), lr=0.05) for model in (stem, head)]
    for _ in range(2):
        for x, y in batches_of(Points(10), batch_size):
            for optimizer in optimizers:
                optimizer.zero_grad()
            criterion(y, stem(x)).backward()
            for optimizer in optimizers:
                optimizer.step()


@pytest.mark.parametrize(
    "fit",
    [{}, {"compile": {"backend": "eager"}}],
    ids=["plain", "compiled"],
)
def test_a_model_that_only_a_loss_runs_is_trained(tmp_path: Path, fit: Config) -> None:
    """It is in train mode, and its running statistics move."""
    twin = Twin(trained(losses={"through": THROUGH}, fit=fit), tmp_path)
    by_hand(twin, lambda y, h: mse_loss(twin.models["head"](h), y))
    twin.check(unchanged=["features"])
    session = twin.session
    assert session.losses["through"] is model_losses.through
    assert [one.trained for one in preflight(session).stages] == [["stem", "head"]]


@pytest.mark.parametrize("name", ["through", "by_keyword"])
def test_inputs_may_come_by_keyword(tmp_path: Path, name: str) -> None:
    keyed = {**THROUGH, "class": f"model_losses.{name}", "inputs": {"y": "y", "h": "h"}}
    twin = Twin(trained(losses={"through": keyed}), tmp_path)
    by_hand(twin, lambda y, h: mse_loss(twin.models["head"](h), y))
    twin.check(unchanged=["features"])


def test_without_an_optimizer_it_stays_with_its_buffers(tmp_path: Path) -> None:
    left = {key: value for key, value in THROUGH.items() if key != "optimizer_name"}
    twin = Twin(trained(losses={"through": left}, optimizers={"of_head": {}}), tmp_path)
    head, stem = twin.models["head"], twin.models["stem"]
    optimizer = SGD(stem.parameters(), lr=0.05)
    kept = {name: value.clone() for name, value in head.state_dict().items()}
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(head(stem(x)), y).backward()
            optimizer.step()
            head.load_state_dict(kept)
    twin.check(unchanged=["head", "features"])
    assert all(p.grad is None for p in twin.session.models["head"].parameters())
    assert all(p.requires_grad for p in twin.session.models["head"].parameters())
    assert [one.untrained for one in preflight(twin.session).stages] == [["head"]]


def test_it_is_in_the_mode_of_its_node(tmp_path: Path) -> None:
    """Features that a node runs in eval mode are so in a loss too."""
    quiet = node("features", "y", "seen", mode="eval")
    spec = trained(AT_NODE, quiet, losses={"perceptual": PERCEPTUAL})
    twin = Twin(spec, tmp_path)
    head, features = twin.models["head"], twin.models["features"].eval()
    by_hand(twin, lambda y, h: model_losses.perceptual(features, head(h), y))
    twin.check(unchanged=["features"])
    assert preflight(twin.session).warnings == []


def test_one_that_acts_otherwise_in_training_is_told(tmp_path: Path) -> None:
    session = create_session(
        trained(AT_NODE, losses={"perceptual": PERCEPTUAL}), session_dir=tmp_path / "s"
    )
    (warning,) = preflight(session).warnings
    assert warning.message == (
        'the model "features" is trained by no stage, and the loss "perceptual" runs it in train '
        "mode, in which BatchNorm1d and Dropout behave differently"
    )
    assert str(warning.place).endswith("initialize.pipelines.fit.losses[0]")


@pytest.mark.parametrize("mode", [{}, {"mode": "eval"}], ids=["train", "eval"])
def test_a_stage_freezes_it(tmp_path: Path, mode: Config) -> None:
    spec = trained(losses={"through": THROUGH})
    spec["train"]["stages"][0]["frozen"] = [{"match": "head:0.*", **mode}]
    twin = Twin(spec, tmp_path)
    head = twin.models["head"]
    norm = head.get_submodule("0")
    norm.requires_grad_(False).train(not mode)
    kept = {name: value.clone() for name, value in norm.state_dict().items()}

    def criterion(y: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        norm.load_state_dict(kept)
        return mse_loss(head(h), y)

    by_hand(twin, criterion)
    norm.load_state_dict(kept)
    norm.requires_grad_(True)
    twin.check(unchanged=["features"])


def test_gradients_are_accumulated(tmp_path: Path) -> None:
    head = layer("Linear", 6, 1)
    counted = {**THROUGH, "class": "model_losses.Counted"}
    spec = trained(
        losses={"counted": counted}, models={"head": head}, fit={"gradient_accumulation": 3}
    )
    twin = Twin(spec, tmp_path)
    criterion = model_losses.Counted()
    by_hand(twin, lambda y, h: criterion(twin.models["head"], h, y), batch_size=10)
    for name in ("stem", "head"):
        pairs = zip(
            twin.models[name].parameters(), twin.session.models[name].parameters(), strict=True
        )
        assert all(torch.allclose(mine, theirs, atol=1e-6) for mine, theirs in pairs)


def test_it_runs_in_the_precision_of_the_run(tmp_path: Path) -> None:
    spec = {**trained(losses={"through": THROUGH}), "precision": "bf16"}
    twin = Twin(spec, tmp_path)
    stem, head = twin.models["stem"], twin.models["head"]
    optimizers = [SGD(model.parameters(), lr=0.05) for model in (stem, head)]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                value = mse_loss(head(stem(x)), y)
            value.backward()
            for optimizer in optimizers:
                optimizer.step()
    twin.check(unchanged=["features"])


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(trained(losses={"through": THROUGH}), tmp_path).check_cuts()


@pytest.mark.parametrize("kind", ["Sobolev", "Measured"])
def test_a_loss_that_differentiates_is_evaluated(tmp_path: Path, kind: str) -> None:
    """Gradients are there for it alone; those of parameters stay as they are."""
    error = {**made("MSELoss"), "inputs": ["said", "y"]}
    slope = {"class": f"model_losses.{kind}", "models": ["head"], "inputs": ["h"]}
    spec = trained(AT_NODE, losses={"error": error})
    spec["initialize"]["definitions"].append({"group": "losses", "name": "slope", "spec": slope})
    spec["initialize"]["pipelines"]["check"] = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("slope")],
    }
    spec["train"]["stages"][0]["validation_pipelines"] = ["check"]
    session = create_session(spec, session_dir=tmp_path / "s")
    session.train()
    stem, head = session.models["stem"].eval(), session.models["head"].eval()
    gradients = [p.grad for p in head.parameters()]
    copies = [None if g is None else g.clone() for g in gradients]
    shown = session.evaluate()["slope"]
    for parameter, gradient, copy in zip(head.parameters(), gradients, copies, strict=True):
        assert parameter.grad is gradient
        assert gradient is None or (copy is not None and torch.equal(gradient, copy))
    slopes = []
    for x, _ in batches_of(Points(10)):
        h = stem(x).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(head(h).sum(), h)
        slopes.append((gradient.square().mean().item(), len(x)))
    assert shown == pytest.approx(sum(value * count for value, count in slopes) / 10, rel=1e-6)
    assert list(session.history["slope"])[-1] == shown


def test_another_model_in_its_place(tmp_path: Path) -> None:
    """Where a pipeline runs with another model, its losses are called with that one too."""
    spec = trained(losses={"through": THROUGH}, models={"smooth": SMOOTH})
    spec["initialize"]["pipelines"]["check"] = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("through", loss_display_name="smoothed")],
        "models": {"head": "smooth"},
    }
    spec["train"]["stages"][0]["validation_pipelines"] = ["check"]
    twin = Twin(spec, tmp_path)
    stem, head = twin.models["stem"], twin.models["head"]
    smooth = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    optimizers = [SGD(model.parameters(), lr=0.05) for model in (stem, head)]
    shown = []
    for _ in range(2):
        stem.train(), head.train()
        for x, y in batches_of(Points(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            mse_loss(head(stem(x)), y).backward()
            for optimizer in optimizers:
                optimizer.step()
            smooth.update_parameters(head)
        smooth.eval()
        with torch.no_grad():
            losses = [
                mse_loss(smooth(stem.eval()(x)), y) * len(x) for x, y in batches_of(Points(10))
            ]
        shown.append(float(sum(losses)) / 10)
    twin.models["smooth"].load_state_dict(smooth.module.state_dict())
    twin.check(unchanged=["features"])
    assert twin.session.history["smoothed"].tolist() == pytest.approx(shown, rel=1e-6)


WRONG: dict[str, tuple[Config, str, str]] = {
    "a model that is near": (
        {"losses": {"through": {**THROUGH, "models": ["heat"]}}},
        'no model is named "heat"; did you mean "head"?',
        ".models[0]",
    ),
    "a model twice": (
        {"losses": {"through": {**THROUGH, "models": ["head", "head"]}}},
        'the model "head" is named twice',
        ".models[1]",
    ),
    "an optimizer that is near": (
        {"losses": {"through": {**THROUGH, "optimizer_name": "of_heat"}}},
        'no optimizer is named "of_heat"; did you mean "of_head"?',
        ".optimizer_name",
    ),
    "an optimizer of another model": (
        {"losses": {"through": {**THROUGH, "models": ["features"]}}},
        'the optimizer "of_head" is for the model "head", which is not among the "models" of this '
        "loss",
        ".optimizer_name",
    ),
    "an optimizer without models": (
        {"losses": {"through": {**THROUGH, "models": []}}},
        'the optimizer "of_head" is for the model "head", which is not among the "models" of this '
        "loss",
        ".optimizer_name",
    ),
    "a keyword that there is not": (
        {"losses": {"through": {**THROUGH, "inputs": {"h": "h", "z": "y", "y": "y"}}}},
        'through has no argument "z"; there are "h", "y"',
        ".inputs.z",
    ),
    "a node without it": (
        {"nodes": [node("head", "h", "said")], "losses": {"through": THROUGH}},
        'the loss "through" would train the model "head" with "of_head", and a node of this '
        "pipeline runs it without that optimizer: name it there",
        ".losses[0].loss_name",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_once(tmp_path: Path, wrong: str) -> None:
    more, message, place = WRONG[wrong]
    with pytest.raises(ConfigError) as raised:
        create_session(
            trained(*more.get("nodes", ()), losses=more["losses"]), session_dir=tmp_path / "s"
        )
    assert [problem.message for problem in raised.value.problems] == [message]
    assert str(raised.value.problems[0].place).endswith(place)


def test_an_optimizer_that_no_loss_or_node_names(tmp_path: Path) -> None:
    left = {key: value for key, value in THROUGH.items() if key != "optimizer_name"}
    with pytest.raises(ConfigError, match='no training pipeline uses the optimizer "of_head"'):
        create_session(trained(losses={"through": left}), session_dir=tmp_path / "s")


def test_a_loss_that_names_the_optimizer_which_is_for_it(tmp_path: Path) -> None:
    """One needs the other, and neither has to be built first."""
    centres = {
        **made("learning_parts.Centres", 1),
        "inputs": ["said", "y"],
        "optimizer_name": "moving",
        "transform": "model_losses.labels",
    }
    spec = trained(
        AT_NODE,
        losses={"centres": centres},
        optimizers={"moving": trained_by(made("SGD", lr=0.1), "losses.centres")},
    )
    session = create_session(spec, session_dir=tmp_path / "s")
    before = [p.clone() for p in session.losses["centres"].parameters()]
    session.train()
    assert isinstance(session.losses["centres"], nn.Module)
    after = session.losses["centres"].parameters()
    assert not all(map(torch.equal, before, after))
