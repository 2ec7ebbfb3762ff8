"""A stage that grows from 1 pipeline to 16, against one loop over as many models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TextIO

from benchmarks.alternation import BARE, WARM_UP, Other, Rounds, same, seconds_of, seeds_of
from benchmarks.figures import Figure
from benchmarks.growth import growth
from benchmarks.many_by_hand import BATCH, FEATURES, LEARNING_RATE, ManyByHand
from benchmarks.tasks import Config, made, part, whole
from torchassistant.session import Session

PIPELINES = (1, 2, 4, 8, 16)
AGAINST = "a further model, with a loader of its own, trained in the same loop"


def measure(quick: bool) -> list[Figure]:
    """Each pipeline has a small model, an optimizer, a graph and a loader."""
    examples, rounds = (160, 2) if quick else (3_200, 10)
    counts = PIPELINES[:3] if quick else PIPELINES
    measured = {count: _alternated(count, examples, rounds) for count in counts}
    return growth(
        f"a further pipeline, {counts[0]} to {counts[-1]}",
        AGAINST,
        {count: each for count, (each, _) in measured.items()},
        all(identical for _, identical in measured.values()),
        None,
    )


def _alternated(count: int, examples: int, rounds: int) -> tuple[Rounds, bool]:
    """The rounds, and whether both have ended with the same weights."""
    names = [f"fit_{i}" for i in range(count)]
    loops: list[ManyByHand] = []

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        models = [copy.deepcopy(session.models[name]) for name in names]
        seeds = [seeds_of(session, name) for name in names]
        loops.append(ManyByHand(models, examples, seeds))
        return {BARE: seconds_of(loops[0].epoch)}

    measured = Rounds(config(names, examples, rounds + WARM_UP), others)
    return measured, same(measured.session, names, loops[0].models)


def config(names: Sequence[str], examples: int, epochs: int) -> Config:
    """A model, an optimizer and a graph for each name; dataset and loader factory are shared."""
    nodes = {
        name: {
            "model_name": name,
            "inputs": ["x"],
            "outputs": ["y_hat"],
            "optimizer_name": f"sgd of {name}",
        }
        for name in names
    }
    sgd = made("SGD", lr=LEARNING_RATE)
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"examples": part("Examples", examples, FEATURES)},
        "loader_factories": {"batches": {"dataset": "examples", "kwargs": {"batch_size": BATCH}}},
        "models": {name: made("torch.nn.Linear", FEATURES, 1) for name in names},
        "optimizers": {f"sgd of {name}": {**sgd, "model": name} for name in names},
        "losses": {"mse": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {name: {"neural_graph": [nodes[name]]} for name in names},
        "batch_graphs": {
            name: {"nodes": [name], "input_aliases": ["batch"], "ingoing_edges": {name: ["batch"]}}
            for name in names
        },
    }
    feed = {"input_alias": "batch", "loader_factory": "batches", "variable_names": ["x", "y"]}
    pipelines = {
        name: {
            "graph": name,
            "input_factories": [feed],
            "losses": [{"loss_name": "mse", "loss_display_name": f"loss of {name}"}],
        }
        for name in names
    }
    return whole(groups, pipelines, epochs)
