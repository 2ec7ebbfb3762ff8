"""What a config says of how things are computed: the same as a loop that says so itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    DROPOUT_NET,
    Config,
    Twin,
    batches_of,
    config,
    feed,
    fit,
    graph,
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
    weights,
)
from exact_parts import Backwards, Images, Points
from exact_runs import Runs
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Adam

from torchassistant import create_session
from torchassistant.session import train_profiled


def processor(*nodes: Config, **more: Any) -> Config:
    """The definition of a batch processor."""
    return {"batch_processors": {"run": {"neural_graph": list(nodes), **more}}}


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_mixed_precision(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    config = {**one_model({"models": {"net": DROPOUT_NET}}), "precision": name}
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", enabled=name == "fp16")
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype):
                error = mse_loss(net(x), y)
            scaler.scale(error).backward()
            scaler.step(optimizer)
            scaler.update()
    twin.check()


def test_clipping_sees_the_true_gradients_in_fp16(tmp_path: Path) -> None:
    config = one_model({"gradient_clippers": {"clip": {"model": "net", "clip_norm": 0.1}}})
    twin = Twin({**config, "precision": "fp16"}, tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                error = mse_loss(net(x), y)
            scaler.scale(error).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
    twin.check()


NORMED = layers(
    layer("Linear", 4, 6),
    layer("BatchNorm1d", 6),
    layer("Dropout", 0.3),
    made("exact_parts.SpectralLinear", 6, 6),
    layer("Tanh"),
    layer("Linear", 6, 1),
)


def test_activation_checkpointing_changes_nothing(tmp_path: Path) -> None:
    """Running statistics move once, power iterations too, and dropout drops the same."""
    run = node("net", "x", "y_hat", "descent", activation_checkpointing=True)
    twin = Twin(one_model({"models": {"net": NORMED}, **processor(run)}), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


def test_activation_checkpointing_computes_twice(tmp_path: Path) -> None:
    """Or there would be nothing saved."""
    Backwards.forwards = 0
    run = node("net", "x", "y_hat", "descent", activation_checkpointing=True)
    groups = {"models": {"net": part("Backwards")}, **processor(run)}
    Twin(one_model(groups), tmp_path, preflight=False)
    assert Backwards.forwards == 2 * 2 * 3  # twice in each of 3 iterations of 2 epochs


def test_a_frozen_model_can_be_checkpointed(tmp_path: Path) -> None:
    """Its running statistics stay, and gradient flows through it."""
    first = node("net", "x", "h", "descent")
    last = node("fixed", "h", "y_hat", activation_checkpointing=True)
    models = {
        "net": layers(layer("Linear", 4, 3)),
        "fixed": layers(layer("BatchNorm1d", 3), layer("Linear", 3, 1)),
    }
    twin = Twin(one_model({"models": models, **processor(first, last)}), tmp_path)
    net, fixed = twin.models["net"], twin.models["fixed"]
    before = weights({"fixed": fixed})
    fit(lambda x: fixed(net(x)), SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    fixed.load_state_dict(before["fixed"])
    twin.check(unchanged=["fixed"])


@pytest.mark.parametrize("what", ["node", "processor", "pipeline"])
def test_compiled(tmp_path: Path, what: str) -> None:
    """By a compiler that keeps the operations as they are."""
    compiled: dict[str, Config] = {what: {"compile": {"backend": "aot_eager"}}}
    run = node("net", "x", "y_hat", "descent", **compiled.get("node", {}))
    groups = processor(run, **compiled.get("processor", {}))
    twin = Twin(one_model(groups, pipeline=compiled.get("pipeline")), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


def test_a_compiled_model_can_be_checkpointed(tmp_path: Path) -> None:
    both = {"compile": {"backend": "aot_eager"}, "activation_checkpointing": True}
    run = node("net", "x", "y_hat", "descent", **both)
    twin = Twin(one_model({"models": {"net": NORMED}, **processor(run)}), tmp_path)
    net = twin.models["net"]
    fit(net, SGD(net.parameters(), lr=0.05), batches_of(Points(10)))
    twin.check()


def test_a_scale_that_is_too_large_leaves_out_a_step(tmp_path: Path) -> None:
    """Without a word: schedulers that step with it would tell of a wrong order."""
    descent = trained_by(made("SGD", lr=0.05), "net")
    descent["lr_scheduler"] = {**made("StepLR", 2), "interval": "step"}
    losses = [loss("error", weight=1e4)]
    config = one_model({"optimizers": {"descent": descent}}, pipeline={"losses": losses})
    session = create_session({**config, "precision": "fp16"}, session_dir=tmp_path / "session")
    session.train()
    assert session.pipelines["fit"].scaler.get_scale() < 2.0**16


@pytest.mark.parametrize("what", ["node", "processor", "pipeline"])
def test_what_is_compiled_is_one_graph(tmp_path: Path, what: str) -> None:
    """``fullgraph`` makes it an error if anything of ours cannot be compiled; profiled or not."""
    compiled = {what: {"compile": {"backend": "eager", "fullgraph": True}}}
    run = node("net", "x", "y_hat", "descent", **compiled.get("node", {}))
    groups = {**processor(run, **compiled.get("processor", {})), "models": {"net": DROPOUT_NET}}
    path = tmp_path / "session"
    session = create_session(one_model(groups, pipeline=compiled.get("pipeline")), session_dir=path)
    train_profiled(session)
    assert session.finished
    assert list((path / "profile").iterdir())


def test_channels_last(tmp_path: Path) -> None:
    net_config = layers(
        layer("Conv2d", 3, 8, 3), layer("ReLU"), layer("Conv2d", 8, 4, 3), layer("Flatten"),
        layer("Linear", 64, 1),
    )  # fmt: skip
    groups = {
        "datasets": {"points": part("Images", 10)},
        "models": {"net": {**net_config, "memory_format": "channels_last"}},
    }
    twin = Twin(one_model(groups), tmp_path)
    net = twin.models["net"].to(memory_format=torch.channels_last)
    session_net = twin.session.models["net"]
    assert session_net[0].weight.is_contiguous(memory_format=torch.channels_last)
    fit(
        lambda x: net(x.contiguous(memory_format=torch.channels_last)),
        SGD(net.parameters(), lr=0.05),
        batches_of(Images(10)),
    )
    twin.check()


def two_pipelines() -> Config:
    """In the one the generator is trained, and in the other the critic."""
    made_up, judged = node("generator", "x", "made"), node("critic", "made", "y_hat")
    groups = {
        "datasets": {"points": part("Points", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "generator": part("Backwards", "generator"),
            "critic": part("Backwards", "critic", 1),
        },
        "optimizers": {
            "g": trained_by(made("Adam", lr=0.05), "generator"),
            "c": trained_by(made("Adam", lr=0.05), "critic"),
        },
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            "making": {"neural_graph": [{**made_up, "optimizer_name": "g"}, judged]},
            "judging": {"neural_graph": [made_up, {**judged, "optimizer_name": "c"}]},
        },
        "batch_graphs": {name: graph("in", **{name: "in"}) for name in ("making", "judging")},
    }
    pipelines = {
        name: {
            "graph": name,
            "input_factories": [feed("batches", "x y")],
            "losses": [loss("error")],
        }
        for name in ("making", "judging")
    }
    return config(groups, pipelines, stage("making", "judging"))


def test_no_gradient_for_what_a_pipeline_does_not_train(tmp_path: Path) -> None:
    """In the judging pipeline nothing flows into the generator; weights are as by hand."""
    Backwards.calls.clear()
    twin = Twin(two_pipelines(), tmp_path, preflight=False)
    iterations = 2 * 3
    assert Backwards.calls["generator", "input"] == 0
    assert Backwards.calls["generator", "weight"] == iterations
    assert Backwards.calls["critic", "input"] == iterations
    assert Backwards.calls["critic", "weight"] == iterations
    generator, critic = twin.models["generator"], twin.models["critic"]
    of_generator = Adam(generator.parameters(), lr=0.05)
    of_critic = Adam(critic.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            of_generator.zero_grad()
            mse_loss(critic(generator(x)), y).backward()
            of_generator.step()
            of_critic.zero_grad()
            mse_loss(critic(generator(x).detach()), y).backward()
            of_critic.step()
    twin.check()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_mixed_precision_resumes(tmp_path: Path, precision: str) -> None:
    """The scale of the losses grows after some steps, which a new process has to know of."""
    config = one_model({"models": {"net": DROPOUT_NET}})
    Runs({**config, "precision": precision}, tmp_path).check_cuts([1, 4])


def test_checkpointed_and_channels_last_models_resume(tmp_path: Path) -> None:
    """Fused kernels ask for state in the memory format of the weights."""
    net = layers(layer("Conv2d", 3, 8, 3), layer("BatchNorm2d", 8), layer("Flatten"),
                 layer("Linear", 288, 1))  # fmt: skip
    groups = {
        "datasets": {"points": part("Images", 10)},
        "models": {"net": {**net, "memory_format": "channels_last"}},
        "optimizers": {"descent": trained_by(made("Adam", lr=0.01, fused=True), "net")},
    }
    run = node("net", "x", "y_hat", "descent", activation_checkpointing=True)
    Runs(one_model({**groups, **processor(run)}), tmp_path).check_cuts([2, 3, 5])
