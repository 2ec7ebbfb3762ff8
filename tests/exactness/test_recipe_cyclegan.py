"""CycleGAN: one optimizer for two generators, one for two critics, and pools of old images."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from exact_configs import (
    Config,
    Twin,
    batches_of,
    config,
    feed,
    graph,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    part,
    stage,
)
from exact_parts import Points
from exact_runs import Runs
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss
from torch.optim import Adam

THIS = "test_recipe_cyclegan"
A, B = 20, 16
"""Images of each kind; the pools are full after the first batch."""


def real(score: Tensor) -> Tensor:
    return mse_loss(score, torch.ones_like(score))


def fake(score: Tensor) -> Tensor:
    return mse_loss(score, torch.zeros_like(score))


class Pool:
    """Gives images back, each as it is or, half of the time, an older one in its place."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.images, self.random = size, list[Tensor](), random.Random(seed)

    def exchange(self, images: Tensor) -> Tensor:
        given = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
                given.append(image)
            elif self.random.random() > 0.5:
                place = self.random.randrange(self.size)
                given.append(self.images[place])
                self.images[place] = image
            else:
                given.append(image)
        return torch.stack(given)


class Pools:
    """An input adapter: the critics see what the pools give. The images in them are its state."""

    def __init__(self) -> None:
        self.a, self.b = Pool(4, seed=1), Pool(4, seed=2)

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        return {
            "on real b": {"b": frame["b"]},
            "on fake b": {"old_b": self.b.exchange(frame["fake_b"])},
            "on real a": {"a": frame["a"]},
            "on fake a": {"old_a": self.a.exchange(frame["fake_a"])},
        }

    def state_dict(self) -> dict[str, Any]:
        return {"a": self.a.images, "b": self.b.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.a.images, self.b.images = list(state["a"]), list(state["b"])


def cyclegan() -> Config:
    """The config."""
    net = (layer("BatchNorm1d", 8), layer("LeakyReLU", 0.2))
    generator = layers(layer("Linear", 4, 8), *net, layer("Linear", 8, 4))
    critic = layers(layer("Linear", 4, 8), *net, layer("Linear", 8, 1))
    adam = made("Adam", lr=0.01, betas=[0.5, 0.999])

    def score(path: str, *inputs: str) -> Config:
        return {**made(path), "inputs": list(inputs)}

    groups: dict[str, dict[str, Config]] = {
        "datasets": {"a": part("Points", A), "b": part("Points", B, seed=1)},
        "loader_factories": {"a": loader("a"), "b": loader("b")},
        "models": {"to b": generator, "to a": generator, "of b": critic, "of a": critic},
        "optimizers": {
            "generators": {**adam, "model": ["to b", "to a"]},
            "critics": {**adam, "model": ["of b", "of a"]},
        },
        "losses": {
            "deceiving b": score(f"{THIS}.real", "score_b"),
            "deceiving a": score(f"{THIS}.real", "score_a"),
            "cycle a": score("L1Loss", "again_a", "a"),
            "cycle b": score("L1Loss", "again_b", "b"),
            "identity b": score("L1Loss", "same_b", "b"),
            "identity a": score("L1Loss", "same_a", "a"),
            "real b": score(f"{THIS}.real", "real_b"),
            "fake b": score(f"{THIS}.fake", "judged_b"),
            "real a": score(f"{THIS}.real", "real_a"),
            "fake a": score(f"{THIS}.fake", "judged_a"),
        },
        "batch_processors": {
            "generating": {
                "neural_graph": [
                    node("to b", "a", "fake_b", "generators", name="there"),
                    node("to a", "fake_b", "again_a", "generators", name="and back"),
                    node("to a", "b", "fake_a", "generators", name="here"),
                    node("to b", "fake_a", "again_b", "generators", name="and forth"),
                    node("to b", "b", "same_b", "generators", name="b itself"),
                    node("to a", "a", "same_a", "generators", name="a itself"),
                    node("of b", "fake_b", "score_b", buffers="move"),
                    node("of a", "fake_a", "score_a", buffers="move"),
                ]
            },
            "judging": {
                "input_adapter": made(f"{THIS}.Pools"),
                "neural_graph": [
                    node("of b", "b", "real_b", "critics", name="on real b"),
                    node("of b", "old_b", "judged_b", "critics", name="on fake b"),
                    node("of a", "a", "real_a", "critics", name="on real a"),
                    node("of a", "old_a", "judged_a", "critics", name="on fake a"),
                ],
            },
        },
        "batch_graphs": {
            "generating": graph("a b", generating="a b"),
            "judging": graph("all", judging="all"),
        },
    }
    generating = [loss("deceiving b"), loss("deceiving a")]
    generating += [loss(f"cycle {x}", weight=10.0) for x in "ab"]
    generating += [loss(f"identity {x}", weight=5.0) for x in "ba"]
    pipelines: dict[str, Config] = {
        "generators": {
            "graph": "generating",
            "input_factories": [feed("a", "a _", "a"), feed("b", "b _", "b")],
            "losses": generating,
        },
        "critics": {
            "graph": "judging",
            "input_factories": [{"from_pipeline": "generators", "node": "generating"}],
            "losses": [loss(f"{k} {x}", weight=0.5) for x in "ba" for k in ("real", "fake")],
        },
    }
    return config(groups, pipelines, stage("generators", "critics"))


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    """The order is that of the original: the generators first, then each critic on old images."""
    twin = Twin(cyclegan(), tmp_path)
    to_b, to_a, of_b, of_a = (twin.models[name] for name in ("to b", "to a", "of b", "of a"))
    critics = [*of_b.parameters(), *of_a.parameters()]
    for_generators = Adam([*to_b.parameters(), *to_a.parameters()], lr=0.01, betas=(0.5, 0.999))
    for_critics = Adam(critics, lr=0.01, betas=(0.5, 0.999))
    pool_a, pool_b = Pool(4, seed=1), Pool(4, seed=2)
    for _ in range(2):
        pairs = zip(batches_of(Points(A)), batches_of(Points(B, seed=1)), strict=False)
        for (a, _), (b, _) in pairs:
            fake_b = to_b(a)
            again_a = to_a(fake_b)
            fake_a = to_a(b)
            again_b = to_b(fake_a)
            for parameter in critics:
                parameter.requires_grad = False
            for_generators.zero_grad()
            identity_b, identity_a = l1_loss(to_b(b), b) * 5.0, l1_loss(to_a(a), a) * 5.0
            whole = real(of_b(fake_b)) + real(of_a(fake_a))
            whole = whole + l1_loss(again_a, a) * 10.0 + l1_loss(again_b, b) * 10.0
            (whole + identity_b + identity_a).backward()
            for_generators.step()
            for parameter in critics:
                parameter.requires_grad = True
            for_critics.zero_grad()
            turns = ((of_b, b, fake_b, pool_b), (of_a, a, fake_a, pool_a))
            for critic, image, made_up, pool in turns:
                old = pool.exchange(made_up.detach())
                ((real(critic(image)) + fake(critic(old))) * 0.5).backward()
            for_critics.step()
    twin.check()


def test_cuts(tmp_path: Path) -> None:
    """The images in the pools, and the random numbers that choose among them, go on."""
    Runs(cyclegan(), tmp_path).check_cuts((2, 5))
