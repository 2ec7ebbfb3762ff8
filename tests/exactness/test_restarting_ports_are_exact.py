"""Loaders that begin anew within a pass, and loaders that share one order, by hand."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    config,
    feed,
    graph,
    layer,
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
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import SGD

from torchassistant import create_session
from torchassistant.data import derived
from torchassistant.data.batch_sampler import permutation
from torchassistant.errors import ConfigError
from torchassistant.training import NotFinite

SEED = 11
FEW, MANY = 10, 38
"""Examples: 3 batches, and 10."""


def two_ports(
    *, restarts: bool = True, groups: dict[str, Any] | None = None, **arguments: Any
) -> Config:
    """One pipeline that is fed by two loaders, with one model for both."""
    loaders = {
        name: loader(name, **{"shuffle": True, "num_workers": 0, **arguments})
        for name in ("few", "many")
    }
    for name, more in (groups or {}).items():
        loaders[name] |= more
    parts: dict[str, dict[str, Config]] = {
        "datasets": {"few": part("Points", FEW), "many": part("Points", MANY, seed=1)},
        "loader_factories": loaders,
        "models": {"net": layer("Linear", 4, 1)},
        "optimizers": {"descent": trained_by(made("SGD", lr=0.05), "net")},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            f"with {name}": {"neural_graph": [node("net", "x", "y_hat", "descent")]}
            for name in ("few", "many")
        },
        "batch_graphs": {"both": graph("few many", **{"with few": "few", "with many": "many"})},
    }
    first = feed("few", "x y", "few")
    if restarts:
        first["when_exhausted"] = "restart"
    fit = {
        "input_factories": [first, feed("many", "x y", "many")],
        "losses": [loss("error", f"with {n}", loss_display_name=n) for n in ("few", "many")],
    }
    return config(parts, {"fit": fit}, stage("fit", epochs=2))


def shuffled(points: Points, seed: int, number: int) -> list[tuple[Tensor, Tensor]]:
    """The batches of a pass."""
    order = permutation(len(points), derived(seed, "order", number))
    return [(points.x[rows], points.y[rows]) for rows in order.split(4)]


def test_a_port_that_begins_anew(tmp_path: Path) -> None:
    """The pass is as long as the other port's; each time the order is another."""
    twin = Twin(two_ports(), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    few, many = Points(FEW), Points(MANY, seed=1)
    seeds = {name: derived(SEED, "fit", name) for name in ("few", "many")}
    seen: list[Tensor] = []
    for epoch in range(2):
        again = count()
        mine: list[tuple[Tensor, Tensor]] = []
        for x, y in shuffled(many, seeds["many"], epoch):
            if not mine:
                mine = shuffled(few, seeds["few"], epoch + next(again) * 2**20)
                seen.append(torch.cat([labelled for labelled, _ in mine]))
            a, b = mine.pop(0)
            optimizer.zero_grad()
            (mse_loss(net(a), b) + mse_loss(net(x), y)).backward()
            optimizer.step()
    twin.check()
    assert twin.session.progress.step == 20
    assert len(seen) == 8
    assert len({tuple(rows.flatten().tolist()) for rows in seen}) == 8
    assert all(torch.equal(rows.sort(0).values, few.x.sort(0).values) for rows in seen)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_cuts(tmp_path: Path, workers: int) -> None:
    Runs(two_ports(num_workers=workers), tmp_path).check_all_cuts_in_one()


def test_cuts_with_a_sampler_of_its_own(tmp_path: Path) -> None:
    """What a sampler keeps is stored with where it began."""
    own = made("midway_parts.Marching", FEW)
    parts = two_ports()
    for definition in parts["initialize"]["definitions"]:
        if (definition["group"], definition["name"]) == ("loader_factories", "few"):
            definition["spec"]["kwargs"] = {"batch_size": 4, "sampler": own}
    Runs(parts, tmp_path).check_all_cuts_in_one()


def test_evaluation_sees_all_of_the_others(tmp_path: Path) -> None:
    whole = two_ports()
    whole["train"]["stages"][0]["validation_pipelines"] = ["fit"]
    session = create_session(whole, session_dir=tmp_path / "run")
    net, many = session.models["net"], Points(MANY, seed=1)
    with torch.no_grad():
        expected = mse_loss(net(many.x), many.y).item()
    assert session.evaluate()["many"] == pytest.approx(expected, abs=1e-6)


def test_a_pass_has_to_end(tmp_path: Path) -> None:
    whole = two_ports()
    for item in whole["initialize"]["pipelines"]["fit"]["input_factories"]:
        item["when_exhausted"] = "restart"
    with pytest.raises(ConfigError, match="a pass would never end") as caught:
        create_session(whole, session_dir=tmp_path / "run")
    assert "pipelines.fit.input_factories[0].when_exhausted" in str(caught.value)


def test_a_stream_without_a_state_cannot_begin_anew(tmp_path: Path) -> None:
    whole = two_ports()
    for definition in whole["initialize"]["definitions"]:
        if (definition["group"], definition["name"]) == ("datasets", "few"):
            definition["spec"] = made("midway_parts.Stream", FEW)
        elif (definition["group"], definition["name"]) == ("loader_factories", "few"):
            definition["spec"]["kwargs"] = {"batch_size": 4}
    with pytest.raises(ConfigError, match='the stream "few", which has no state_dict') as caught:
        create_session(whole, session_dir=tmp_path / "run")
    assert "pipelines.fit.input_factories[0].when_exhausted" in str(caught.value)


# Shuffle groups


def grouped(**more: Any) -> Config:
    """Two loaders over datasets of one length, in one group."""
    together = {name: {"shuffle_group": "pairs", **more} for name in ("few", "many")}
    whole = two_ports(restarts=False, groups=together)
    for definition in whole["initialize"]["definitions"]:
        if (definition["group"], definition["name"]) == ("datasets", "few"):
            definition["spec"] = part("Points", MANY)
    return whole


def test_loaders_of_a_group_draw_one_order(tmp_path: Path) -> None:
    twin = Twin(grouped(), tmp_path)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    seed = derived(SEED, "shuffle group", "pairs")
    for epoch in range(2):
        pairs = zip(
            shuffled(Points(MANY), seed, epoch),
            shuffled(Points(MANY, seed=1), seed, epoch),
            strict=True,
        )
        for (a, b), (x, y) in pairs:
            optimizer.zero_grad()
            (mse_loss(net(a), b) + mse_loss(net(x), y)).backward()
            optimizer.step()
    twin.check()
    Runs(grouped(), tmp_path / "runs").check_cuts((3, 10, 14))


def test_datasets_of_a_group_are_of_one_length(tmp_path: Path) -> None:
    together = {name: {"shuffle_group": "pairs"} for name in ("few", "many")}
    message = '"many" has 38 examples, and "few", of "few", 10'
    with pytest.raises(ConfigError, match=message) as caught:
        create_session(two_ports(groups=together), session_dir=tmp_path / "run")
    assert "spec.shuffle_group" in str(caught.value)


def test_loaders_of_a_group_shuffle(tmp_path: Path) -> None:
    whole = grouped(kwargs={"batch_size": 4, "shuffle": False})
    with pytest.raises(ConfigError, match="loaders that shuffle by themselves") as caught:
        create_session(whole, session_dir=tmp_path / "run")
    assert "spec.shuffle_group" in str(caught.value)


class Souring(Points):
    """The same points; from the 14th that is asked for on, x is not a number."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.asked = 0

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.asked += 1
        x, y = super().__getitem__(index)
        return (x if self.asked < 14 else x * float("nan")), y


def test_the_examples_of_a_batch_are_those_since_it_began_anew(tmp_path: Path) -> None:
    whole = two_ports()
    for definition in whole["initialize"]["definitions"]:
        if (definition["group"], definition["name"]) == ("datasets", "few"):
            definition["spec"] = made("test_restarting_ports_are_exact.Souring", FEW)
    session = create_session(whole, session_dir=tmp_path / "run", preflight=False)
    order = permutation(FEW, derived(derived(SEED, "fit", "few"), "order", 2**20))
    shown = ", ".join(map(str, order[:4].tolist()))
    with pytest.raises(NotFinite, match=f'the examples {shown} of "few"'):
        session.train()


def test_a_first_batch_that_cannot_be_computed_is_told(tmp_path: Path) -> None:
    """Before any pass has begun, the first batch is that of the order of the dataset."""
    whole = two_ports(groups={"few": {"kwargs": {"batch_size": 2}}})
    definitions = {d["name"]: d["spec"] for d in whole["initialize"]["definitions"]}
    definitions["both"] |= graph("few many", **{"with few": "few", "with many": "few many"})
    whole["initialize"]["pipelines"]["fit"]["input_factories"][0]["variable_names"] = ["u", "y"]
    definitions["with few"]["neural_graph"][0]["inputs"] = ["u"]
    whole["initialize"]["pipelines"]["fit"]["input_factories"][1]["variable_names"] = ["x", "v"]
    whole["initialize"]["pipelines"]["fit"]["losses"].pop()
    with pytest.raises(
        ConfigError, match=r'of 2 examples \("few"\) and of 4 \("many"\); let a pro'
    ):
        create_session(whole, session_dir=tmp_path / "run")
