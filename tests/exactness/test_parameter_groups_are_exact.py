"""Optimizers over several models, and with groups of parameters."""

from __future__ import annotations

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
    layer,
    layers,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
)
from exact_parts import Halving, Points, shrinking
from exact_runs import Runs
from learning_parts import ScaledError
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim import lr_scheduler as schedulers

from torchassistant import create_session
from torchassistant.errors import ConfigError
from torchassistant.session import Draft

NET = layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Tanh"), layer("Linear", 6, 1))

Groups = Callable[[nn.Module], list[dict[str, Any]]]


def grouped(
    optimizer: Config, *groups: Config, scheduler: Config | None = None, **more: Any
) -> Config:
    """One model, its optimizer with groups."""
    spec = {**optimizer, "model": "net", "parameters": list(groups), **more}
    if scheduler:
        spec["lr_scheduler"] = scheduler
    return one_model({"models": {"net": NET}, "optimizers": {"descent": spec}})


def parameters(net: nn.Module, *names: str) -> list[nn.Parameter]:
    return [parameter for name, parameter in net.named_parameters() if name in names]


NORMS_AND_BIASES = ("0.bias", "1.weight", "1.bias", "3.bias")

CASES: dict[str, tuple[list[Config], Groups]] = {
    "by path": (
        [{"match": "0.*", "kwargs": {"lr": 0.001}}],
        lambda net: [
            {"params": parameters(net, "0.weight", "0.bias"), "lr": 0.001},
            {"params": parameters(net, "1.weight", "1.bias", "3.weight", "3.bias")},
        ],
    ),
    "no decay for norms and biases": (
        [
            {"types": ["BatchNorm1d"], "kwargs": {"weight_decay": 0}},
            {"match": ["*.bias"], "kwargs": {"weight_decay": 0}},
        ],
        lambda net: [
            {"params": parameters(net, "1.weight", "1.bias"), "weight_decay": 0},
            {"params": parameters(net, "0.bias", "3.bias"), "weight_decay": 0},
            {"params": parameters(net, "0.weight", "3.weight")},
        ],
    ),
    "the first that fits": (
        [
            {"match": "*.bias", "types": ["torch.nn.Linear"], "kwargs": {"lr": 0.02}},
            {"match": "3", "kwargs": {"lr": 0.003, "weight_decay": 0.3}},
            {"match": ["*"], "name": "others"},
        ],
        lambda net: [
            {"params": parameters(net, "0.bias", "3.bias"), "lr": 0.02},
            {"params": parameters(net, "3.weight"), "lr": 0.003, "weight_decay": 0.3},
            {"params": parameters(net, "0.weight", "1.weight", "1.bias")},
        ],
    ),
}


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
@pytest.mark.parametrize("case", CASES)
def test_groups_have_arguments_of_their_own(
    tmp_path: Path, case: str, kind: type[Optimizer]
) -> None:
    groups, by_hand = CASES[case]
    optimizer = made(kind.__name__, lr=0.01, weight_decay=0.1)
    twin = Twin(grouped(optimizer, *groups), tmp_path)
    net = twin.models["net"]
    plain: Any = kind(by_hand(net), lr=0.01, weight_decay=0.1)
    fit(net, plain, batches_of(Points(10)))
    twin.check()
    live = twin.session.optimizers["descent"].param_groups
    for mine, theirs in zip(live, plain.param_groups, strict=True):
        assert {k: v for k, v in mine.items() if k not in ("params", "name")} == {
            k: v for k, v in theirs.items() if k != "params"
        }
        assert [p.shape for p in mine["params"]] == [p.shape for p in theirs["params"]]


def test_groups_carry_their_names(tmp_path: Path) -> None:
    groups = [{"match": "0", "name": "stem"}, {"match": "*.bias", "types": ["Linear"]}]
    session = create_session(grouped(made("SGD"), *groups), session_dir=tmp_path / "run")
    names = [group["name"] for group in session.optimizers["descent"].param_groups]
    assert names == ["stem", "*.bias, Linear", "rest"]


def test_runs_with_groups_are_resumed(tmp_path: Path) -> None:
    groups, _ = CASES["the first that fits"]
    scheduler = {**made("StepLR", 2, gamma=0.5), "interval": "step"}
    config = grouped(made("Adam", lr=0.01), *groups, scheduler=scheduler)
    Runs(config, tmp_path).check_cuts()


def test_the_rest_can_be_left_untrained(tmp_path: Path) -> None:
    """It gets no gradient, so that it takes no part in the norm either; its buffers move."""
    config = grouped(made("SGD", lr=0.05), {"match": "3"}, rest=False)
    config["initialize"]["definitions"].append(
        {
            "group": "gradient_clippers",
            "name": "limit",
            "spec": {"model": "net", "clip_norm": 0.1},
        }
    )
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    assert isinstance(net, nn.Sequential)
    head = list(net[3].parameters())
    optimizer = SGD(head, lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            net.zero_grad()
            mse_loss(net(x), y).backward()
            nn.utils.clip_grad_norm_(head, 0.1)
            optimizer.step()
    twin.check()
    live = twin.session.models["net"]
    assert torch.equal(live.get_parameter("0.weight"), net[0].weight)
    assert all(p.grad is None for p in live[:3].parameters())


def test_two_optimizers_share_a_model(tmp_path: Path) -> None:
    """Each leaves to the other what it does not train; neither meets the other's gradients."""
    config = one_model(
        {
            "models": {"net": NET},
            "optimizers": {
                "descent": {
                    **made("SGD", lr=0.05, momentum=0.9),
                    "model": "net",
                    "parameters": [{"match": "0"}],
                    "rest": False,
                },
                "upper": {
                    **made("Adam", lr=0.01),
                    "model": "net",
                    "parameters": [{"match": ["1", "3"]}],
                    "rest": False,
                },
            },
            "gradient_clippers": {"limit": {"model": "net", "clip_norm": 0.1}},
            "batch_processors": {
                "one": {"neural_graph": [node("net", "x", "y_hat", "descent")]},
                "two": {"neural_graph": [node("net", "x", "y_hat", "upper")]},
            },
            "batch_graphs": {
                name: {
                    "nodes": [name],
                    "input_aliases": ["input"],
                    "ingoing_edges": {name: ["input"]},
                }
                for name in ("one", "two")
            },
        },
        stage("fit", "more"),
        pipeline={"graph": "one"},
        more={
            "graph": "two",
            "input_factories": [feed("batches", "x y")],
            "losses": [loss("error")],
        },
    )
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    assert isinstance(net, nn.Sequential)
    parts = [list(net[0].parameters()), [*net[1].parameters(), *net[3].parameters()]]
    optimizers = [SGD(parts[0], lr=0.05, momentum=0.9), Adam(parts[1], lr=0.01)]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            for optimizer, own in zip(optimizers, parts, strict=True):
                net.zero_grad()
                mse_loss(net(x), y).backward()
                nn.utils.clip_grad_norm_(own, 0.1)
                optimizer.step()
    twin.check()


@pytest.mark.parametrize("models", [["net", "last"], ["last", "net"]])
def test_one_optimizer_trains_several_models(tmp_path: Path, models: list[str]) -> None:
    twin = Twin(encoder_and_decoder({**made("Adam", lr=0.01), "model": models}), tmp_path)
    first, last = twin.models["net"], twin.models["last"]
    optimizer = Adam([p for name in models for p in twin.models[name].parameters()], lr=0.01)
    fit(lambda x: last(first(x)), optimizer, batches_of(Points(10)))
    twin.check()
    live = twin.session.optimizers["descent"].param_groups
    assert [len(group["params"]) for group in live] == [4]


def encoder_and_decoder(optimizer: Config, second: str | None = "descent", **groups: Any) -> Config:
    return one_model(
        {
            "models": {"net": layer("Linear", 4, 5), "last": layer("Linear", 5, 1)},
            "optimizers": {"descent": optimizer},
            "batch_processors": {
                "run": {
                    "neural_graph": [
                        node("net", "x", "a", "descent"),
                        node("last", "a", "y_hat", second),
                    ]
                }
            },
            **groups,
        }
    )


def test_what_an_optimizer_holds_is_not_trained_where_no_node_names_it(tmp_path: Path) -> None:
    """The second model runs here without an optimizer, so that the first learns alone."""
    config = encoder_and_decoder({**made("Adam", lr=0.01), "model": ["net", "last"]}, second=None)
    twin = Twin(config, tmp_path)
    first, last = twin.models["net"], twin.models["last"]
    optimizer = Adam(first.parameters(), lr=0.01)
    fit(lambda x: last(first(x)), optimizer, batches_of(Points(10)))
    twin.check(unchanged=["last"])


def test_a_model_that_nothing_trains_is_told_though_an_optimizer_is_for_it() -> None:
    config = encoder_and_decoder({**made("Adam", lr=0.01), "model": ["net", "last"]}, second=None)
    warnings = [str(problem) for problem in Draft(config).warnings]
    (said,) = (text for text in warnings if "no optimizer trains" in text)
    assert said.endswith(
        'no optimizer trains the model "last": no node that runs it names its optimizer "descent"'
    )


def test_an_optimizer_that_a_node_names_trains_what_only_a_loss_runs(tmp_path: Path) -> None:
    groups = {
        "models": {"net": layer("Linear", 4, 5), "last": layer("Linear", 5, 1)},
        "optimizers": {"descent": {**made("Adam", lr=0.01), "model": ["net", "last"]}},
        "losses": {
            "error": {"class": "model_losses.through", "models": ["last"], "inputs": ["a", "y"]}
        },
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "a", "descent")]}},
    }
    twin = Twin(one_model(groups), tmp_path)
    first, last = twin.models["net"], twin.models["last"]
    optimizer = Adam([*first.parameters(), *last.parameters()], lr=0.01)
    fit(lambda x: last(first(x)), optimizer, batches_of(Points(10)))
    twin.check()


def test_groups_over_several_models(tmp_path: Path) -> None:
    groups = [{"match": "last:*", "kwargs": {"lr": 0.1}}, {"match": "bias"}]
    spec = {**made("SGD", lr=0.01), "model": ["net", "last"], "parameters": groups}
    twin = Twin(encoder_and_decoder(spec), tmp_path)
    first, last = twin.models["net"], twin.models["last"]
    assert isinstance(first, nn.Linear)
    by_hand = [
        {"params": list(last.parameters()), "lr": 0.1},
        {"params": [first.bias]},
        {"params": [first.weight]},
    ]
    fit(lambda x: last(first(x)), SGD(by_hand, lr=0.01), batches_of(Points(10)))
    twin.check()


def test_a_model_and_a_loss_have_one_optimizer(tmp_path: Path) -> None:
    groups = {
        "losses": {"error": {**made("learning_parts.ScaledError"), "inputs": ["y_hat", "y"]}},
        "optimizers": {"descent": {**made("Adam", lr=0.01), "model": ["net", "losses.error"]}},
    }
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    criterion = ScaledError()
    optimizer = Adam([*net.parameters(), *criterion.parameters()], lr=0.01)
    fit(net, optimizer, batches_of(Points(10)), criterion=criterion)
    twin.check()
    live = twin.session.losses["error"]
    for mine, theirs in zip(criterion.parameters(), live.parameters(), strict=True):
        assert torch.equal(mine, theirs)


SCHEDULERS: dict[str, tuple[Config, Callable[[Optimizer], Any]]] = {
    "LambdaLR": (
        made("LambdaLR", [part("Halving"), {"function": "exact_parts.shrinking"}]),
        lambda optimizer: schedulers.LambdaLR(optimizer, [Halving(), shrinking]),
    ),
    "OneCycleLR": (
        made("OneCycleLR", max_lr=[0.1, 0.02], total_steps=6),
        lambda optimizer: schedulers.OneCycleLR(optimizer, max_lr=[0.1, 0.02], total_steps=6),
    ),
}


@pytest.mark.parametrize("case", SCHEDULERS)
def test_schedulers_may_have_a_value_for_each_group(tmp_path: Path, case: str) -> None:
    described, by_hand = SCHEDULERS[case]
    config = grouped(
        made("SGD", lr=0.01, momentum=0.9),
        {"match": "0", "kwargs": {"lr": 0.001}},
        scheduler={**described, "interval": "step"},
    )
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    lower = parameters(net, "0.weight", "0.bias")
    upper = parameters(net, "1.weight", "1.bias", "3.weight", "3.bias")
    optimizer = SGD([{"params": lower, "lr": 0.001}, {"params": upper}], lr=0.01, momentum=0.9)
    scheduler = by_hand(optimizer)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
            scheduler.step()
    twin.check()


WRONG: dict[str, tuple[list[Config], str]] = {
    "no such path": (
        [{"match": "3.wieght"}],
        r'parameters\[0\].match: "3.wieght" matches nothing in "net"; did you mean "3.weight"',
    ),
    "no such path among several": (
        [{"match": ["0", "9"]}],
        r'parameters\[0\].match\[1\]: "9" matches nothing in "net"; there are "0", "1", "2", "3"',
    ),
    "no such model": ([{"match": "nett:0"}], 'no model "nett" is meant here; did you mean "net"'),
    "no such type": ([{"types": ["BatchNorm7d"]}], r"parameters\[0\].types\[0\]: .*BatchNorm"),
    "a type of nothing": (
        [{"types": ["LSTM"]}],
        'no module of "net" is of type "LSTM"',
    ),
    "no module": ([{"types": ["torch.nn.functional.relu"]}], "is no class of torch.nn.Module"),
    "taken already": (
        [{"match": "0"}, {"match": "0.bias", "name": "biases"}],
        r'parameters\[1\]: the group "biases" of the optimizer "descent" is empty: earlier',
    ),
    "no parameters": ([{"match": "2"}], "is empty: it matches no parameter"),
    "a typo": (
        [{"match": "0", "kwargs": {"weight_dacay": 0}}],
        r'parameters\[0\].kwargs.weight_dacay: SGD has no argument "weight_dacay"; did you mean',
    ),
    "a value": (
        [{"match": "0"}, {"match": "3", "kwargs": {"lr": -1.0}}],
        r"parameters\[1\]: SGD: Invalid learning rate: -1.0",
    ),
    "neither": (
        [{"kwargs": {"lr": 1.0}}],
        'one of "match" and "types" is needed',
    ),
    "two names": ([{"match": "0", "name": "a"}, {"match": "3", "name": "a"}], 'is named "a"'),
    "the rest's name": ([{"match": "0", "name": "rest"}], 'is named "rest"'),
    "parameters by hand": ([{"match": "0", "kwargs": {"params": []}}], '"params" of a group is no'),
    "twice": ([{"match": ["0", "0"]}], '"0" is named twice'),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_group_is_told(tmp_path: Path, case: str) -> None:
    groups, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        create_session(grouped(made("SGD"), *groups), session_dir=tmp_path / "run")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rest": False}, '"rest" is what none of "parameters" matches, which are not there'),
        ({"model": ["net", "net"]}, '"net" is named twice'),
        ({"model": ["net", "nte"]}, r'model\[1\]: no model is named "nte"'),
        ({"model": ["net", "losses.error"]}, 'the loss "error" has no parameters'),
    ],
)
def test_what_is_wrong_with_an_optimizer_is_told(
    tmp_path: Path, more: Config, message: str
) -> None:
    config = one_model({"optimizers": {"descent": {**made("SGD"), "model": "net", **more}}})
    with pytest.raises(ConfigError, match=message):
        create_session(config, session_dir=tmp_path / "run")


def test_a_parameter_in_two_optimizers_of_a_pipeline_is_told(tmp_path: Path) -> None:
    both, last = ({**made("SGD"), "model": model} for model in (["net", "last"], "last"))
    config = encoder_and_decoder(both, "other", optimizers={"descent": both, "other": last})
    message = (
        r'training_pipelines\[0\]: the optimizers "descent" and "other" of the pipeline "fit" both '
        'have "last:weight"'
    )
    with pytest.raises(ConfigError, match=message):
        create_session(config, session_dir=tmp_path / "run")
