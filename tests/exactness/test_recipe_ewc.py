"""Elastic weight consolidation: between two tasks a stage measures what the first one needs."""

from __future__ import annotations

from pathlib import Path

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
from exact_parts import Classes
from exact_runs import Runs
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from torchassistant import TrainStepEvent, create_session
from torchassistant.errors import ConfigError

THIS = "test_recipe_ewc"
FIRST, SECOND = 14, 12
WEIGHTS = 4 * 8 + 8 + 8 * 3 + 3


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


class Consolidation(nn.Module):
    """What it costs to move the weights from where they were; called with the net alone."""

    def __init__(self, weights: int) -> None:
        super().__init__()
        self.register_buffer("importance", torch.zeros(weights))
        self.register_buffer("old", torch.zeros(weights))

    def forward(self, net: nn.Module) -> Tensor:
        now = torch.cat([parameter.flatten() for parameter in net.parameters()])
        return (self.importance * (now - self.old).square()).sum()

    def add(self, net: nn.Module) -> None:
        """Note the squares of gradients, and where the weights are."""
        self.importance += flat([p.grad for p in net.parameters() if p.grad is not None]).square()
        self.old.copy_(flat([*net.parameters()]))


def measure(event: TrainStepEvent) -> dict[str, Tensor]:
    """A step that changes no weight."""
    net, consolidation = event.models["net"], event.losses["staying"]
    net.zero_grad()
    entropy = cross_entropy(net(event.frame["x"]), event.frame["label"])
    event.backward(entropy)
    assert isinstance(consolidation, Consolidation)
    consolidation.add(net)
    return {"entropy": entropy}


def ewc() -> Config:
    """The config."""
    groups = {
        "datasets": {"first": part("Classes", FIRST), "second": part("Classes", SECOND, seed=3)},
        "loader_factories": {"first": loader("first"), "second": loader("second")},
        "models": {"net": layers(layer("Linear", 4, 8), layer("Tanh"), layer("Linear", 8, 3))},
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.1), "net")},
        "losses": {
            "entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "label"]},
            "staying": {**made(f"{THIS}.Consolidation", WEIGHTS), "models": ["net"], "inputs": []},
        },
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "scores", "sgd")]}},
    }
    first = [feed("first", "x label")]
    pipelines = {
        "first": {"input_factories": first, "losses": [loss("entropy")]},
        "measuring": {
            "input_factories": first,
            "losses": [loss("staying")],
            "train_step": {"class": f"{THIS}.measure", "losses": ["entropy"]},
        },
        "second": {
            "input_factories": [feed("second", "x label")],
            "losses": [loss("entropy"), loss("staying", weight=5.0)],
        },
    }
    return config(groups, pipelines, stage("first"), stage("measuring", epochs=1), stage("second"))


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    twin = Twin(ewc(), tmp_path)
    net, staying = twin.models["net"], Consolidation(WEIGHTS)
    sgd = SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        for x, label in batches_of(Classes(FIRST)):
            sgd.zero_grad()
            cross_entropy(net(x), label).backward()
            sgd.step()
    for x, label in batches_of(Classes(FIRST)):
        sgd.zero_grad()
        cross_entropy(net(x), label).backward()
        staying.add(net)
    for _ in range(2):
        for x, label in batches_of(Classes(SECOND, seed=3)):
            sgd.zero_grad()
            (cross_entropy(net(x), label) + 5.0 * staying(net)).backward()
            sgd.step()
    twin.check()
    mine = twin.session.losses["staying"].state_dict()
    assert all(torch.equal(tensor, mine[key]) for key, tensor in staying.state_dict().items())


def test_cuts(tmp_path: Path) -> None:
    Runs(ewc(), tmp_path).check_cuts((7, 10, 12, 15))


def test_a_loss_of_nothing(tmp_path: Path) -> None:
    whole = ewc()
    for definition in whole["initialize"]["definitions"]:
        if definition["name"] == "staying":
            del definition["spec"]["models"]
    with pytest.raises(ConfigError, match='at least one column, or "models", found none') as told:
        create_session(whole, session_dir=tmp_path / "run")
    assert told.value.problems[0].place.path == "initialize.definitions[7].spec.inputs"
