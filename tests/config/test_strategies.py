"""What cannot go with models that processes share is told, with its place and what can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_problems import Config, define, fit, problems_of, spec_of, stage

from torchassistant import config as language


def node(config: Config) -> Config:
    return spec_of(config, "processor")["neural_graph"][0]


def hooks(config: Config) -> None:
    define(config, "backward_hooks", "slow", {"model": "net", "factory_fn": "pkg.slow"})


MISFITS: dict[str, tuple[Callable[[Config], Any], str]] = {
    "logical ranks": (lambda c: c["distributed"].update(logical_ranks=2), "distributed"),
    "scaled losses": (lambda c: c.update(precision="fp16"), "precision"),
    "a step": (lambda c: fit(c).update(train_step={"factory_fn": "pkg.step"}), ".fit.train_step"),
    "combined losses": (lambda c: fit(c).update(combine={"class": "pkg.Combine"}), ".fit.combine"),
    "compiled losses": (lambda c: fit(c).update(compile=True), ".fit.compile"),
    "a tap": (lambda c: node(c).update(taps={"h": "0"}), ".taps"),
    "a compiled model": (lambda c: node(c).update(compile=True), ".compile"),
    "hooks": (hooks, ".spec"),
    "an optimizer": (lambda c: spec_of(c, "adam").update({"class": "LBFGS"}), ".class"),
    "a look": (lambda c: stage(c).update(debug_pipelines=["look"]), "debug_pipelines"),
}


def sharing(config: Config) -> Config:
    config["distributed"] = {"strategy": "fsdp"}
    return config


def test_a_plain_one_is_accepted(config: Config) -> None:
    language.load(sharing(config))


@pytest.mark.parametrize("name", MISFITS)
def test_what_needs_whole_models_is_told(config: Config, name: str) -> None:
    change, where = MISFITS[name]
    change(sharing(config))
    (told,) = [text for text in problems_of(config) if '"fsdp"' in text]
    place, _, message = told.partition(": ")
    assert where in place
    assert where == "distributed" or '"ddp"' in message or '"bf16"' in message


def test_what_runs_when_it_likes_is_told_where_batch_norm_is_over_all(config: Config) -> None:
    config["distributed"] = {"sync_batch_norm": True, "logical_ranks": 2}
    fit(config).update(train_step={"factory_fn": "pkg.step"})
    node(config).update(taps={"h": "0"})
    told = [text for text in problems_of(config) if '"sync_batch_norm"' in text]
    assert [text.partition(":")[0].rpartition(".")[2] for text in told] == [
        "logical_ranks",
        "train_step",
    ]
