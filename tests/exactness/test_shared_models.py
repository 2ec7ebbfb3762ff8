"""Models of which each of several processes holds a piece (``"strategy": "fsdp"``)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, layer, layers, loader, loss, made, node, one_model, part, stage
from ranks import called, ranks, train, trained
from safetensors.torch import load_file
from test_processes import copied, noisy, rows, told_of_a_hole, wait_for

from torchassistant import create_session, load_session
from torchassistant.parallel.sharding import _blocks

ONE_EPOCH = ("--set", "train.stages[0].stop_condition.args[0]=1")


@pytest.fixture(scope="module", autouse=True)
def _no_threads() -> None:
    torch.set_num_threads(1)


def rich(**distributed: Any) -> Config:
    """Nothing random: two batches a step, the last of 1 example; clipping, an average, norms."""
    net = layers(layer("Linear", 4, 6), layer("Tanh"), layer("Linear", 6, 1))
    groups = {
        "datasets": {"points": part("Points", 11)},
        "loader_factories": {"batches": loader("points", 5)},
        "models": {"net": net, "ema": {"average_of": "net", "decay": 0.5}},
        "optimizers": {"descent": {**made("SGD", lr=0.1, momentum=0.9), "model": "net"}},
        "gradient_clippers": {"all": {"model": "net", "clip_norm": 0.5}},
    }
    val = {"input_factories": [{"loader_factory": "batches", "variable_names": ["x", "y"]}]}
    config = one_model(
        groups,
        stage("fit", validation=["val"], epochs=3),
        pipeline={"gradient_accumulation": 2},
        val={**val, "losses": [loss("error")]},
    )
    best = {"best": {"monitor": "error", "weights_only": True}}
    return {
        **config,
        "log": {"every_iterations": 1},
        "checkpoints": best,
        "distributed": {"strategy": "fsdp", **distributed},
    }


def state_of(session: Path) -> dict[str, Any]:
    """Weights, and what optimizers keep, as one process loads it."""
    loaded = load_session(session)
    states = {name: one.state_dict()["state"] for name, one in loaded.optimizers.items()}
    kept = {
        f"{name} {number} {key}": value
        for name, state in states.items()
        for number, own in state.items()
        for key, value in own.items()
    }
    models = loaded.models.items()
    return kept | {f"{n} {key}": t for n, model in models for key, t in model.state_dict().items()}


def assert_close(one: Path, other: Path) -> None:
    mine, theirs = state_of(one), state_of(other)
    assert mine.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    for file in ("0.csv", "steps-0.csv"):
        lines = [(run / "metrics" / file).read_text().splitlines() for run in (one, other)]
        assert lines[0][0] == lines[1][0]
        columns = [n for n in lines[0][0].split(",") if n not in ("seconds", "time")]
        at = [lines[0][0].split(",").index(name) for name in columns]
        for cells in zip(*([row.split(",") for row in some[1:]] for some in lines), strict=True):
            mine_, theirs_ = ([float(row[index]) for index in at] for row in cells)
            assert mine_ == pytest.approx(theirs_, rel=1e-5, abs=1e-6)


def assert_same(one: Path, other: Path) -> None:
    mine, theirs = state_of(one), state_of(other)
    assert [n for n in mine.keys() | theirs.keys() if not torch.equal(mine[n], theirs[n])] == []
    assert rows(one) == rows(other)


def test_shared_models_train_as_whole_ones(tmp_path: Path) -> None:
    """By three processes, of which the last batch has one example; and in turns with others."""
    create_session(rich(), session_dir=tmp_path / "new")
    alone = copied(tmp_path / "new", "alone")
    load_session(alone).train()
    run = trained(3, copied(tmp_path / "new", "three"))
    assert_close(run, alone)
    newest = sorted((run / "checkpoints").iterdir())[-1]
    # Each process has written its rows, under one manifest.
    manifest = json.loads((newest / "manifest.json").read_text())
    kept = [load_file(newest / f"parts/{rank}-of-3/models/net.safetensors") for rank in range(3)]
    assert [tuple(part["0.weight"].shape) for part in kept] == [(2, 4)] * 3
    assert "parts/2-of-3/optimizers/descent.safetensors" in manifest["files"]
    # Weights of the best state are files for anybody.
    (best,) = (run / "weights" / "best").glob("*/net.safetensors")
    assert load_file(best)["0.weight"].shape == (6, 4)
    again = copied(tmp_path / "new", "again")
    for count in (2, 1, 3):
        setting = f"train.stages[0].stop_condition.args[0]={ {2: 1, 1: 2, 3: 3}[count] }"
        trained(count, again, "--set", setting)
    assert_close(again, alone)


@pytest.mark.slow
def test_the_same_processes_have_the_same_bits(tmp_path: Path) -> None:
    """Dropout, batch norm, and one that is killed while states are written."""
    config = {**noisy(strategy="fsdp"), "checkpoints": {"every_iterations": 1}}
    config["train"]["stages"][0]["stop_condition"] = made("EpochsCompleted", 6)
    create_session(config, session_dir=tmp_path / "new")
    whole = trained(2, copied(tmp_path / "new", "whole"))
    cut = copied(tmp_path / "new", "cut")
    with ranks(2, called(["train", str(cut)])) as running:
        wait_for(lambda: len((cut / "metrics" / "0.csv").read_text().splitlines()) > 3)
        running.kill(1)
        assert running.wait() == [1, -signal.SIGKILL]
        told = [line for line in running.printed().splitlines() if line.startswith("error")]
    assert len(told) == 1
    assert re.match(r"error: rank 1 \(process \d+ on .*\) has died, or cannot be reached", told[0])
    assert_same(trained(2, cut), whole)
    assert list((cut / "checkpoints").glob(".*")) == []
    # Any number of processes evaluates it, each with whole models.
    results = []
    for count in (1, 2):
        with ranks(count, called(["evaluate", str(whole), "--json"])) as running:
            assert running.wait() == [0] * count, running.printed()
            results.append(json.loads(running.printed()))
    assert results[0] == results[1]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_synced_batch_norm_is_that_of_the_whole_batch(tmp_path: Path, strategy: str) -> None:
    """By three processes, with batches of 5, 5 and 1 examples, two of which are a step."""
    net = layers(layer("Linear", 4, 6), layer("BatchNorm1d", 6), layer("Linear", 6, 1))
    config = rich(strategy=strategy, sync_batch_norm=True)
    for definition in config["initialize"]["definitions"]:
        if definition["name"] == "net":
            definition["spec"] = net
        if definition["name"] == "points":
            definition["spec"] = part("Points", 12)
    create_session(config, session_dir=tmp_path / "alone")
    run = copied(tmp_path / "alone", "run")
    load_session(tmp_path / "alone").train()
    assert_close(trained(3, run), tmp_path / "alone")


def test_what_is_not_finite_is_told_once(tmp_path: Path) -> None:
    told_of_a_hole(rich(), tmp_path / "run")


def test_what_cannot_be_shared_is_told(tmp_path: Path) -> None:
    config = rich()
    for definition in config["initialize"]["definitions"]:
        if definition["name"] == "net":
            definition["spec"] = part("Scaled")
    create_session(config, session_dir=tmp_path / "run")
    statuses, printed = train(2, tmp_path / "run")
    assert statuses == [2, 2]
    assert 'the parameter "scale" of the model "net" is a scalar' in printed[0]
    assert "give it the shape (1,)" in printed[0]


def test_models_that_ask_for_values_are_shared_too(tmp_path: Path) -> None:
    """One weight in two places, a constructor that looks at values, what is derived from them."""
    names = ("tied", "asking", "deriving")
    built = {name: made(f"unfilled_parts.{name.title()}") for name in names}
    groups = {
        "datasets": {"points": part("Points", 12)},
        "loader_factories": {"batches": loader("points", 5)},
        "models": built,
        "optimizers": {f"of_{name}": {**made("Adagrad", lr=0.05), "model": name} for name in built},
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("tied", "x", "a", "of_tied"),
                    node("asking", "a", "b", "of_asking"),
                    node("deriving", "b", "y_hat", "of_deriving"),
                ]
            }
        },
    }
    config = one_model(groups, stage("fit", epochs=3))
    of_one_model = ("net", "descent")
    kept = [d for d in config["initialize"]["definitions"] if d["name"] not in of_one_model]
    config["initialize"]["definitions"] = kept
    config |= {"log": {"every_iterations": 1}, "distributed": {"strategy": "fsdp"}}
    create_session(config, session_dir=tmp_path / "new")
    alone = copied(tmp_path / "new", "alone")
    load_session(alone).train()
    assert_close(trained(2, copied(tmp_path / "new", "two")), alone)


def test_each_of_many_layers_is_whole_only_while_it_runs() -> None:
    """Also where none of them is a large part of the model."""
    with torch.device("meta"):
        large = torch.nn.Sequential(*(torch.nn.Linear(1024, 1024) for _ in range(100)))
        small = torch.nn.Sequential(*(torch.nn.Linear(10, 10) for _ in range(100)))
    assert len([*_blocks(large)]) == 100
    assert [*_blocks(small)] == []


@pytest.mark.slow
def test_no_process_holds_what_whole_models_take(tmp_path: Path) -> None:
    """Four processes, of which each has a quarter of 320 MiB, and of the gradients a quarter.

    What is held beside that are code that is loaded late, and messages.
    """
    blocks, width = 80, 1024
    inner = [layer("Linear", width, width) for _ in range(blocks)]
    net = layers(layer("Linear", 4, width), *inner, layer("Linear", width, 1))
    groups = {
        "datasets": {"points": part("Points", 8)},
        "loader_factories": {"batches": loader("points", 8)},
        "models": {"net": net},
        "optimizers": {"descent": {**made("SGD", lr=0.001), "model": "net"}},
    }
    config = {**one_model(groups, stage("fit", epochs=1)), "distributed": {"strategy": "fsdp"}}
    create_session(config, session_dir=tmp_path / "run")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4"]
    here = Path(__file__).parent
    script = [str(here / "rank_memory.py"), str(tmp_path / "run"), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    subprocess.run([*command, *script], cwd=here, env=env, check=True)
    held = [int((tmp_path / f"{rank}.held").read_text()) for rank in range(4)]
    weights_and_gradients = 2 * blocks * width * width * 4
    assert max(held) < 0.6 * weights_and_gradients
