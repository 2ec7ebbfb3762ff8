"""Parts of models under names of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    one_model,
    part,
    stage,
    trained_by,
)
from exact_parts import Points
from exact_runs import Runs, last_state
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError

NESTED = layers(
    layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6)), layer("Tanh"), layer("Linear", 6, 1)
)
BODY = {"part_of": "net", "path": "0"}


def parted(*nodes: Config, **more: Any) -> Config:
    models = {"net": NESTED, "body": BODY, "head": {"part_of": "net", "path": "2"}}
    models |= more.pop("models", {})
    groups = {
        "models": models,
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), more.pop("of", "net"))},
        "batch_processors": {"run": {"neural_graph": list(nodes)}},
    }
    return one_model(groups, **more)


WHOLE = node("net", "x", "y_hat", "descent")


def test_it_is_the_same_module_and_stored_once(tmp_path: Path) -> None:
    session = create_session(parted(WHOLE), session_dir=tmp_path / "run")
    assert session.models["body"] is session.models["net"][0]  # type: ignore[index]
    session.train()
    stored = [name for name in last_state(session.path) if name.startswith("models/")]
    assert stored == ["models/net.safetensors"]
    loaded = load_session(session.path)
    assert loaded.models["body"] is loaded.models["net"][0]  # type: ignore[index]
    weight = loaded.models["body"].state_dict()["0.weight"]
    assert torch.equal(weight, session.models["net"].state_dict()["0.0.weight"])


def test_an_optimizer_of_a_part(tmp_path: Path) -> None:
    nodes = (node("body", "x", "h"), node("head", "h", "y_hat", "descent"))
    twin = Twin(parted(*nodes, of="head"), tmp_path)
    net = twin.models["net"].train()
    kept = {k: v.clone() for k, v in net[0].state_dict().items()}  # type: ignore[index]
    optimizer = SGD(net[2].parameters(), lr=0.05)  # type: ignore[index]
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net[2](net[0](x)), y).backward()  # type: ignore[index]
            optimizer.step()
            net[0].load_state_dict(kept)  # type: ignore[index]
    twin.models["head"].load_state_dict(net[2].state_dict())  # type: ignore[index]
    twin.check(unchanged=["body"])


def test_nodes_of_parts_with_the_optimizer_of_their_whole(tmp_path: Path) -> None:
    """The whole's optimizer trains its parts, and their statistics move."""
    nodes = (node("body", "x", "h", "descent"), node("head", "h", "y_hat", "descent"))
    twin = Twin(parted(*nodes), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            mse_loss(net[2](net[0](x)), y).backward()  # type: ignore[index]
            optimizer.step()
    for name, index in (("body", 0), ("head", 2)):
        twin.models[name].load_state_dict(net[index].state_dict())  # type: ignore[index]
    twin.check()


def test_what_trains_the_whole_trains_its_parts(tmp_path: Path) -> None:
    """A node of a part names no optimizer, and runs beside its whole."""
    nodes = (WHOLE, node("body", "x", "h"))
    spec = parted(*nodes)
    spec["initialize"]["definitions"] += [
        {"group": "losses", "name": "size", "spec": {**part("Size"), "inputs": ["h"]}}
    ]
    spec["initialize"]["pipelines"]["fit"]["losses"].append(loss("size"))
    twin = Twin(spec, tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            (mse_loss(net(x), y) + net[0](x).abs().mean()).backward()  # type: ignore[index]
            optimizer.step()
    for name, index in (("body", 0), ("head", 2)):
        twin.models[name].load_state_dict(net[index].state_dict())  # type: ignore[index]
    twin.check()


def test_a_part_of_a_part_and_an_average_of_a_part(tmp_path: Path) -> None:
    models = {
        "linear": {"part_of": "body", "path": "0"},
        "mean": {"average_of": "body", "decay": 0.9},
        "mean_linear": {"part_of": "mean", "path": "0"},
    }
    session = create_session(parted(WHOLE, models=models), session_dir=tmp_path / "run")
    assert session.models["linear"] is session.models["net"][0][0]  # type: ignore[index]
    assert session.models["mean_linear"] is session.models["mean"][0]  # type: ignore[index]
    session.train()
    assert session.averages["mean"].updates == 6
    stored = sorted(name for name in last_state(session.path) if name.startswith("models/"))
    assert stored == ["models/mean.safetensors", "models/net.safetensors"]


def test_every_cut_ends_in_the_same_bits(tmp_path: Path) -> None:
    nodes = (node("body", "x", "h", "descent"), node("head", "h", "y_hat", "descent"))
    Runs(parted(*nodes), tmp_path).check_cuts()


def test_it_has_the_memory_format_of_its_whole(tmp_path: Path) -> None:
    nested = layers(layers(layer("Conv2d", 3, 4, 3)), layer("Flatten"))
    models = {
        "net": {**nested, "memory_format": "channels_last"},
        "body": BODY,
        "mean": {"average_of": "net"},
    }
    session = create_session(
        config(
            {
                "datasets": {"images": part("Images", 8)},
                "loader_factories": {"batches": loader("images")},
                "models": models,
                "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "net")},
                "losses": {"size": {**part("Size"), "inputs": ["h"]}},
                "batch_processors": {"run": {"neural_graph": [node("body", "x", "h", "descent")]}},
            },
            {"fit": {"input_factories": [feed("batches", "x y")], "losses": [loss("size")]}},
            stage("fit"),
        ),
        session_dir=tmp_path / "run",
    )
    (nodes,) = [g.nodes for g in session.batch_graphs.values()]
    assert nodes[0].calling.memory_format is torch.channels_last
    weight = session.models["mean"][0][0].weight  # type: ignore[index]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    spec = parted(WHOLE, models={"body": {"part_of": "net", "path": "0.3"}})
    with pytest.raises(ConfigError) as caught:
        create_session(spec, session_dir=tmp_path / "run")
    (problem,) = caught.value.problems
    assert problem.place.path.endswith(".spec.path")
    assert problem.message.startswith('the model "net" has no part "0.3"; did you mean "0.')
