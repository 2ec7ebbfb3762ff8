"""Losses that have parameters: an optimizer trains them, or it is told that none does."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
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
from exact_parts import Classes
from exact_runs import some
from torch import nn
from torch.nn.functional import cross_entropy

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError
from torchassistant.session import Session
from torchassistant.session.preflight import preflight

NET = layers(layer("Linear", 4, 6), layer("Tanh"), layer("Linear", 6, 3))
CENTRES = {**made("learning_parts.Centres", 3), "inputs": ["y_hat", "y"]}


def centred(centres: Config | None = None, fit: Config | None = None, **more: Any) -> Config:
    """A classifier whose scores are drawn to a centre for each class, that learns too."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Classes", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {"net": NET},
        "optimizers": {
            "descent": trained_by(made("SGD", lr=0.05), "net"),
            "moving": trained_by(made("Adam", lr=0.5), "losses.centres"),
        },
        "losses": {
            "classes": {**made("CrossEntropyLoss"), "inputs": ["y_hat", "y"]},
            "centres": centres or CENTRES,
        },
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "descent")]}},
    }
    for group, named in more.items():
        groups[group] = {k: v for k, v in {**groups.get(group, {}), **named}.items() if v}
    pipeline = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("classes"), loss("centres", weight=0.3)],
        **(fit or {}),
    }
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("centres", loss_display_name="val centres")],
    }
    return config(
        groups, {"fit": pipeline, "check": check}, stage("fit", validation=["check"], epochs=3)
    )


def parts_of(session: Session) -> tuple[nn.Module, nn.Module]:
    return session.models["net"], session.losses["centres"]


def train(net: nn.Module, centres: nn.Module, norm: float | None = None) -> list[float]:
    """The same by hand; gives the loss of the centres over the data after each epoch."""
    optimizers = [
        torch.optim.SGD(net.parameters(), lr=0.05),
        torch.optim.Adam(centres.parameters(), lr=0.5),
    ]
    found = []
    for _ in range(3):
        for x, y in batches_of(Classes(10)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            scores = net(x)
            (cross_entropy(scores, y) + centres(scores, y) * 0.3).backward()
            if norm is not None:
                nn.utils.clip_grad_norm_(centres.parameters(), norm)
            for optimizer in optimizers:
                optimizer.step()
        with torch.no_grad():
            data = [(centres(net(x), y).item(), len(x)) for x, y in batches_of(Classes(10))]
        found.append(sum(value * count for value, count in data) / 10)
    return found


def assert_alike(one: nn.Module, other: nn.Module) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("norm", [None, 0.01])
def test_a_loss_is_trained_as_in_a_loop(tmp_path: Path, norm: float | None) -> None:
    clip = {"small": {"model": "losses.centres", "clip_norm": norm}} if norm else {}
    session = create_session(centred(gradient_clippers=clip), session_dir=tmp_path / "s")
    net, centres = copy.deepcopy(parts_of(session))
    session.train()
    shown = train(net, centres, norm)
    assert_alike(session.models["net"], net)
    assert_alike(parts_of(session)[1], centres)
    assert list(session.history["val centres"]) == pytest.approx(shown, rel=1e-6)
    again = load_session(tmp_path / "s")
    assert_alike(parts_of(again)[1], centres)
    assert again.evaluate()["val centres"] == pytest.approx(shown[-1], rel=1e-6)


def test_it_goes_on_from_any_iteration(tmp_path: Path) -> None:
    every = {"every_iterations": 1, "keep_last": 99}
    scheduler = {"lr_scheduler": {**made("StepLR", 2), "interval": "step"}}
    moving = {**trained_by(made("Adam", lr=0.5), "losses.centres"), **scheduler}
    spec = {**centred(optimizers={"moving": moving}), "checkpoints": every}
    whole = create_session(spec, session_dir=tmp_path / "whole")
    whole.train()
    for step in some(8):
        cut = shutil.copytree(whole.path, tmp_path / f"cut {step}")
        for path in (cut / "checkpoints").iterdir():
            if int(path.name.partition("-")[0]) > step:
                shutil.rmtree(path)
        again = load_session(cut)
        again.train()
        for mine, theirs in zip(parts_of(whole), parts_of(again), strict=True):
            assert_alike(mine, theirs)
        assert whole.history.drop(columns="seconds").equals(again.history.drop(columns="seconds"))


def test_accumulated_gradients_of_a_loss(tmp_path: Path) -> None:
    """Batches of 4, 4 and 2 are as one of 10."""
    accumulate = {"gradient_accumulation": 3}
    session = create_session(centred(fit=accumulate), session_dir=tmp_path / "s")
    net, centres = copy.deepcopy(parts_of(session))
    session.train()
    optimizers = [
        torch.optim.SGD(net.parameters(), lr=0.05),
        torch.optim.Adam(centres.parameters(), lr=0.5),
    ]
    ((x, y),) = batches_of(Classes(10), 10)
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        scores = net(x)
        (cross_entropy(scores, y) + centres(scores, y) * 0.3).backward()
        for optimizer in optimizers:
            optimizer.step()
    for mine, theirs in zip(centres.parameters(), parts_of(session)[1].parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_pipeline_that_trains_nothing_but_a_loss(tmp_path: Path) -> None:
    frozen = {"run": {"neural_graph": [node("net", "x", "y_hat")]}}
    only = {"losses": [loss("centres")]}
    spec = centred(fit=only, batch_processors=frozen, optimizers={"descent": {}})
    session = create_session(spec, session_dir=tmp_path / "s")
    net, centres = copy.deepcopy(parts_of(session))
    session.train()
    optimizer = torch.optim.Adam(centres.parameters(), lr=0.5)
    for _ in range(3):
        for x, y in batches_of(Classes(10)):
            optimizer.zero_grad()
            centres(net(x), y).backward()
            optimizer.step()
    assert_alike(session.models["net"], net)
    assert_alike(parts_of(session)[1], centres)


def test_one_that_nothing_trains_is_told(tmp_path: Path) -> None:
    spec = centred(optimizers={"moving": {}})
    session = create_session(spec, session_dir=tmp_path / "s")
    assert [problem.message for problem in preflight(session).warnings] == [
        'no optimizer trains the parameters of losses/centres: "centres"; one whose "model" is '
        '"losses.centres" does'
    ]


@pytest.mark.parametrize(
    "kind", ["input_adapter", "output_adapter", "processor", "holder", "transform"]
)
def test_so_is_any_other_object_with_parameters(tmp_path: Path, kind: str) -> None:
    run: Config = {"neural_graph": [node("net", "x", "y_hat", "descent")]}
    more: dict[str, Any] = {"batch_processors": {"run": run}}
    centres: Config = dict(CENTRES)
    if kind in ("input_adapter", "output_adapter"):
        run[kind] = made(f"learning_parts.{kind.title().replace('_', '')}")
        key = f"batch_processors/run/{kind}"
    elif kind in ("processor", "holder"):
        before = made(f"learning_parts.{kind.title()}")
        more["batch_processors"] = {"before": before, "run": run}
        more["batch_graphs"] = {
            "whole": {
                "nodes": ["before", "run"],
                "input_aliases": ["in"],
                "ingoing_edges": {"before": ["in"], "run": ["before"]},
            }
        }
        key = "batch_processors/before"
    else:
        centres["transform"] = "learning_parts.Transform"
        key = "losses/centres/transform"
    spec = centred(centres, **more)
    if kind in ("processor", "holder"):
        for pipeline in spec["initialize"]["pipelines"].values():
            for item in pipeline["losses"]:
                item["node_name"] = "run"
    session = create_session(spec, session_dir=tmp_path / "s")
    (warning,) = preflight(session).warnings
    parameter = "Processor.scale" if kind == "holder" else "scale"
    assert warning.message == f'no optimizer trains the parameters of {key}: "{parameter}"'


def test_parameters_of_a_trained_model_that_its_optimizer_lacks(tmp_path: Path) -> None:
    descent = {"factory_fn": "learning_parts.over_weights", "model": "net"}
    session = create_session(centred(optimizers={"descent": descent}), session_dir=tmp_path / "s")
    (warning,) = preflight(session).warnings
    assert '"0.bias", "2.bias" of the model "net", which is trained' in warning.message


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is near": (
        {"optimizers": {"moving": trained_by(made("Adam"), "losses.centre")}},
        'no loss is named "centre"; did you mean "centres"?',
    ),
    "a loss without parameters": (
        {"optimizers": {"moving": trained_by(made("Adam"), "losses.classes")}},
        'the loss "classes" has no parameters',
    ),
    "two optimizers": (
        {"optimizers": {"other": trained_by(made("SGD", lr=0.1), "losses.centres")}},
        'the loss "centres" has the optimizer "moving" already',
    ),
    "a node": (
        {
            "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "moving")]}},
            "optimizers": {"descent": {}},
        },
        'the optimizer "moving" is for the loss "centres", and this node runs "net"',
    ),
    "a loss that is in no training": (
        {"fit": {"losses": [loss("classes")]}},
        'no training pipeline uses the optimizer "moving"',
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_once(tmp_path: Path, wrong: str) -> None:
    more, message = WRONG[wrong]
    with pytest.raises(ConfigError) as raised:
        create_session(centred(**more), session_dir=tmp_path / "s")
    assert [problem.message for problem in raised.value.problems] == [message]


def test_of_several_the_one_without_parameters_is_pointed_at(tmp_path: Path) -> None:
    clip = {"small": {"model": ["net", "losses.classes"], "clip_norm": 1.0}}
    with pytest.raises(ConfigError) as raised:
        create_session(centred(gradient_clippers=clip), session_dir=tmp_path / "s")
    (problem,) = raised.value.problems
    assert problem.message == 'the loss "classes" has no parameters'
    assert str(problem.place).endswith(".spec.model[1]")
