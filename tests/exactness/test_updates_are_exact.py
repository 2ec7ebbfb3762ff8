"""From several losses to one step: weights, hooks, clipping, and learning rate schedulers."""

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
    layer,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Halving, Points
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import huber_loss, mse_loss
from torch.optim import SGD, Adam, Optimizer
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import DataLoader

from torchassistant.training import GradientClipper


@pytest.mark.parametrize(
    ("first", "second"), [(0.3, 2.0), (1, -0.1), (0.1, 1), (3, 0), (None, 0.7)]
)
def test_losses_are_weighted_and_summed(tmp_path: Path, first: float | None, second: float) -> None:
    """A weight that is left out is 1."""
    weight: Config = {} if first is None else {"weight": first}
    huber = {**made("HuberLoss"), "inputs": ["y_hat"], "transform": "exact_parts.against_zero"}
    losses = [loss("error", **weight), loss("size", weight=second)]
    twin = Twin(one_model({"losses": {"size": huber}}, pipeline={"losses": losses}), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    first = 1 if first is None else first
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            y_hat = net(x)
            error, size = mse_loss(y_hat, y), huber_loss(y_hat, torch.zeros_like(y_hat))
            optimizer.zero_grad()
            (first * error + second * size).backward()
            optimizer.step()
    twin.check()


@pytest.mark.parametrize(
    ("value", "norm"), [(0.03, None), (None, 0.2), (0.1, 0.2)], ids=["value", "norm", "both"]
)
def test_clipping(tmp_path: Path, value: float | None, norm: float | None) -> None:
    """By value first, then by norm."""
    limits = {"clip_value": value, "clip_norm": norm}
    clipper = {"model": "net", **{key: limit for key, limit in limits.items() if limit}}
    twin = Twin(one_model({"gradient_clippers": {"limit": clipper}}), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    clipped = 0
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            before = gradients(net)
            if value is not None:
                nn.utils.clip_grad_value_(net.parameters(), value)
            if norm is not None:
                nn.utils.clip_grad_norm_(net.parameters(), norm)
            clipped += not torch.equal(gradients(net), before)
            optimizer.step()
    twin.check()
    assert clipped


def gradients(net: nn.Module) -> Tensor:
    """A copy of all of them, in one row."""
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def joined(clipper: Config, second: str | None) -> Config:
    """Two models one after the other, the second of which may be trained too."""
    groups = {
        "models": {"net": layer("Linear", 4, 5), "last": layer("Linear", 5, 1)},
        "optimizers": {
            "descent": trained_by(made("SGD", lr=0.05), "net"),
            "last descent": trained_by(made("SGD", lr=0.05), "last"),
        },
        "gradient_clippers": {"limit": clipper},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("net", "x", "a", "descent"),
                    node("last", "a", "y_hat", second),
                ]
            }
        },
    }
    if second is None:
        del groups["optimizers"]["last descent"]
    return one_model(groups)


@pytest.mark.parametrize(
    ("clipper", "trained", "limited"),
    [
        ({"model": ["net", "last"]}, ["net", "last"], ["net", "last"]),
        ({"model": ["last", "net"]}, ["net"], ["net"]),
        ({"model": ["last"]}, ["net", "last"], ["last"]),
        ({"optimizer": "descent"}, ["net", "last"], ["net"]),
    ],
)
@pytest.mark.parametrize("limits", [{"clip_norm": 0.2}, {"clip_value": 0.05, "clip_norm": 0.1}])
def test_several_models_have_one_norm(
    tmp_path: Path, clipper: Config, trained: list[str], limited: list[str], limits: Config
) -> None:
    """Of those among them that are trained here."""
    second = "last descent" if "last" in trained else None
    twin = Twin(joined({**clipper, **limits}, second), tmp_path)
    first, last = twin.models["net"], twin.models["last"]
    optimizers = [SGD(twin.models[name].parameters(), lr=0.05) for name in trained]
    parameters = [p for name in limited for p in twin.models[name].parameters()]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            for model in (first, last):
                model.zero_grad()
            mse_loss(last(first(x)), y).backward()
            if "clip_value" in limits:
                nn.utils.clip_grad_value_(parameters, limits["clip_value"])
            norm = nn.utils.clip_grad_norm_(parameters, limits["clip_norm"])
            assert norm > limits["clip_norm"]
            for optimizer in optimizers:
                optimizer.step()
    twin.check(unchanged=[name for name in twin.models if name not in trained])


def test_shared_parameters_are_clipped_once() -> None:
    """Two models with one layer in common: its gradient counts once in their norm."""
    net = torch.nn.Linear(3, 2)
    models = [nn.Sequential(net), nn.Sequential(net, nn.Tanh())]
    clipper = GradientClipper(models, clip_norm=0.1)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    clipper()
    mine = gradients(net)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    assert torch.equal(mine, gradients(net))


def test_each_model_is_clipped_by_itself_where_it_is_trained(tmp_path: Path) -> None:
    """The clipper of a frozen model changes nothing."""
    groups = {
        "models": {
            "net": layer("Linear", 4, 5),
            "frozen": layer("Linear", 5, 5),
            "last": layer("Linear", 5, 1),
        },
        "optimizers": {
            "descent": trained_by(made("SGD", lr=0.05), "net"),
            "last descent": trained_by(made("SGD", lr=0.05), "last"),
        },
        "gradient_clippers": {
            "first limit": {"model": "net", "clip_norm": 0.1},
            "frozen limit": {"model": "frozen", "clip_norm": 0.01},
            "last limit": {"model": "last", "clip_norm": 0.3},
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("net", "x", "a", "descent"),
                    node("frozen", "a", "b"),
                    node("last", "b", "y_hat", "last descent"),
                ]
            }
        },
    }
    twin = Twin(one_model(groups), tmp_path)
    first, frozen, last = (twin.models[name] for name in groups["models"])
    optimizers = [SGD(first.parameters(), lr=0.05), SGD(last.parameters(), lr=0.05)]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            error = mse_loss(last(frozen(first(x))), y)
            for optimizer in optimizers:
                optimizer.zero_grad()
            error.backward()
            nn.utils.clip_grad_norm_(first.parameters(), 0.1)
            nn.utils.clip_grad_norm_(last.parameters(), 0.3)
            for optimizer in optimizers:
                optimizer.step()
    twin.check(unchanged=["frozen"])


def test_hooks(tmp_path: Path) -> None:
    """Backward hooks see the gradient before the clippers; forward hooks may change an output."""
    groups = {
        "models": {"net": layer("Linear", 4, 1)},
        "backward_hooks": {"slow": {"model": "net", "factory_fn": "exact_parts.slow_biases"}},
        "forward_hooks": {"positive": {"model": "net", "factory_fn": "exact_parts.keep_positive"}},
        "gradient_clippers": {"limit": {"model": "net", "clip_value": 0.2}},
    }
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    assert isinstance(net, nn.Linear)
    # The copies of a session's models have its forward hooks already, but no hooks on parameters.
    net.bias.register_hook(lambda grad: grad / 10)
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            y_hat = nn.functional.linear(x, net.weight, net.bias).clamp(min=0)
            optimizer.zero_grad()
            mse_loss(y_hat, y).backward()
            nn.utils.clip_grad_value_(net.parameters(), 0.2)
            optimizer.step()
    twin.check()


def warm_then_cosine(optimizer: Optimizer) -> schedulers.SequentialLR:
    warm = schedulers.LinearLR(optimizer, start_factor=0.25, total_iters=2)
    cosine = schedulers.CosineAnnealingLR(optimizer, T_max=3)
    return schedulers.SequentialLR(optimizer, [warm, cosine], milestones=[2])


SCHEDULERS: dict[str, tuple[Config, Callable[[Optimizer], Any]]] = {
    "StepLR": (
        made("StepLR", step_size=2, gamma=0.5),
        lambda optimizer: schedulers.StepLR(optimizer, 2, 0.5),
    ),
    "OneCycleLR": (
        made("OneCycleLR", max_lr=0.1, total_steps=15),
        lambda optimizer: schedulers.OneCycleLR(optimizer, 0.1, total_steps=15),
    ),
    "SequentialLR": (
        made(
            "SequentialLR",
            schedulers=[
                made("LinearLR", start_factor=0.25, total_iters=2),
                made("torch.optim.lr_scheduler.CosineAnnealingLR", T_max=3),
            ],
            milestones=[2],
        ),
        warm_then_cosine,
    ),
    "warmup": (
        {**made("CosineAnnealingLR", T_max=3), "warmup": {"steps": 2, "start_factor": 0.25}},
        warm_then_cosine,
    ),
    "warmup before OneCycleLR": (
        {**made("OneCycleLR", max_lr=0.1, total_steps=15), "warmup": {"steps": 3}},
        lambda optimizer: schedulers.SequentialLR(
            optimizer,
            [
                schedulers.LinearLR(optimizer, start_factor=0.01, total_iters=3),
                schedulers.OneCycleLR(optimizer, 0.1, total_steps=15),
            ],
            milestones=[3],
        ),
    ),
    "ChainedScheduler": (
        made("ChainedScheduler", [made("ConstantLR"), made("ExponentialLR", gamma=0.9)]),
        lambda optimizer: schedulers.ChainedScheduler(
            [schedulers.ConstantLR(optimizer), schedulers.ExponentialLR(optimizer, 0.9)]
        ),
    ),
    "LambdaLR": (
        made("LambdaLR", part("Halving")),
        lambda optimizer: schedulers.LambdaLR(optimizer, Halving()),
    ),
    "CyclicLR": (
        made("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=2),
        lambda optimizer: schedulers.CyclicLR(optimizer, 0.01, 0.1, step_size_up=2),
    ),
}


@pytest.mark.parametrize("interval", ["epoch", "step", None])
@pytest.mark.parametrize(("spec", "build"), SCHEDULERS.values(), ids=SCHEDULERS.keys())
def test_schedulers(
    tmp_path: Path, spec: Config, build: Callable[[Optimizer], Any], interval: str | None
) -> None:
    """After each epoch, which is the default, or after each step."""
    lr_scheduler = {**spec, "interval": interval} if interval else spec
    descent = {
        **trained_by(made("SGD", lr=0.05, momentum=0.5), "net"),
        "lr_scheduler": lr_scheduler,
    }
    twin = Twin(one_model({"optimizers": {"descent": descent}}, stage("fit", epochs=5)), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05, momentum=0.5)
    scheduler = build(optimizer)
    rates = set()
    for _ in range(5):
        for x, y in batches_of(Points(10)):
            rates.add(optimizer.param_groups[0]["lr"])
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
            if interval == "step":
                scheduler.step()
        if interval != "step":
            scheduler.step()
    twin.check()
    assert len(rates) > 1


def mean_error(net: nn.Module, data: DataLoader[Any]) -> float:
    """The mean squared error over samples, in eval mode."""
    net.eval()
    with torch.no_grad():
        errors = [(mse_loss(net(x), y).item(), len(x)) for x, y in data]
    net.train()
    return sum(error * count for error, count in errors) / sum(count for _, count in errors)


@pytest.mark.parametrize("monitor", ["held-out error", "error"])
def test_a_scheduler_that_listens_after_each_epoch(tmp_path: Path, monitor: str) -> None:
    """To a validation pipeline, or to the training loss as it was met."""
    plateau = {
        **made("ReduceLROnPlateau", patience=0, factor=0.5, threshold=0.3),
        "monitor": monitor,
    }
    groups = {
        "datasets": {"held out": part("Points", 7, seed=3)},
        "loader_factories": {"held-out batches": loader("held out")},
        "optimizers": {
            "descent": {**trained_by(made("SGD", lr=0.1), "net"), "lr_scheduler": plateau}
        },
    }
    check = {
        "input_factories": [feed("held-out batches", "x y")],
        "losses": [loss("error", loss_display_name="held-out error")],
    }
    config = one_model(groups, stage("fit", epochs=6, validation=["check"]), check=check)
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.1)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.3)
    for _ in range(6):
        met = []
        for x, y in batches_of(Points(10)):
            error = mse_loss(net(x), y)
            met.append((error.item(), len(x)))
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        held_out = mean_error(net, batches_of(Points(7, seed=3)))
        mean_met = sum(error * count for error, count in met) / 10
        scheduler.step(held_out if monitor == "held-out error" else mean_met)
    twin.check()
    assert 0 < optimizer.param_groups[0]["lr"] < 0.1
    assert (
        twin.session.optimizers["descent"].param_groups[0]["lr"]
        == (optimizer.param_groups[0]["lr"])
    )


@pytest.mark.parametrize("transform", ["exact_parts.unchanged", "exact_parts.blurred"])
def test_a_scheduler_that_listens_after_each_step(tmp_path: Path, transform: str) -> None:
    """It hears the loss of the step, though that be computed with random numbers."""
    plateau = {
        **made("ReduceLROnPlateau", patience=0, factor=0.7, threshold=0.5),
        "monitor": "error",
        "interval": "step",
    }
    error = {**made("MSELoss"), "inputs": ["y_hat", "y"], "transform": transform}
    descent = {**trained_by(made("SGD", lr=0.1), "net"), "lr_scheduler": plateau}
    groups = {"optimizers": {"descent": descent}, "losses": {"error": error}}
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.1)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, patience=0, factor=0.7, threshold=0.5)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            y_hat = net(x)
            if transform == "exact_parts.blurred":
                y_hat = y_hat + 0.5 * torch.randn_like(y_hat)
            error_met = mse_loss(y_hat, y)
            optimizer.zero_grad()
            error_met.backward()
            optimizer.step()
            scheduler.step(error_met.item())
    twin.check()
    assert optimizer.param_groups[0]["lr"] < 0.1


def test_the_scheduler_of_each_optimizer_is_its_own(tmp_path: Path) -> None:
    groups = {
        "models": {"net": layer("Linear", 4, 5), "head": layer("Linear", 5, 1)},
        "optimizers": {
            "descent": {
                **trained_by(made("SGD", lr=0.05), "net"),
                "lr_scheduler": made("ExponentialLR", gamma=0.5),
            },
            "head descent": {
                **trained_by(made("Adam", lr=0.01), "head"),
                "lr_scheduler": {**made("ExponentialLR", gamma=0.9), "interval": "step"},
            },
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("net", "x", "h", "descent"),
                    node("head", "h", "y_hat", "head descent"),
                ]
            }
        },
    }
    twin = Twin(one_model(groups), tmp_path)
    net, head = twin.models["net"], twin.models["head"]
    slow, fast = SGD(net.parameters(), lr=0.05), Adam(head.parameters(), lr=0.01)
    each_epoch = schedulers.ExponentialLR(slow, 0.5)
    each_step = schedulers.ExponentialLR(fast, 0.9)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            slow.zero_grad()
            fast.zero_grad()
            mse_loss(head(net(x)), y).backward()
            slow.step()
            fast.step()
            each_step.step()
        each_epoch.step()
    twin.check()


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_warmup_goes_on_where_it_was_cut(tmp_path: Path, interval: str) -> None:
    cosine = {**made("CosineAnnealingLR", T_max=3), "interval": interval, "warmup": {"steps": 2}}
    descent = {**trained_by(made("SGD", lr=0.05, momentum=0.5), "net"), "lr_scheduler": cosine}
    runs = Runs(one_model({"optimizers": {"descent": descent}}, stage("fit", epochs=4)), tmp_path)
    runs.check_cuts(range(1, runs.steps + 1, 2))
