"""Losses and gradients that are not finite: the run stops before the step, or leaves it out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from stopping import cut
from toy_config import Command, Config, pipeline, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError
from torchassistant.session import Session
from torchassistant.training.nan_guard import NotFinite

BAD = [9, 13]
"""Two examples of the second batch."""
SECOND_BATCH = list(range(8, 16))
NAN = "nan"

MODEL = {"class": "unsound.Rooted"}
GRADIENT = {"bad": BAD, "x": "0"}
KINDS = {
    "NaN in the data": {"bad": BAD, "x": NAN},
    "infinity in the data": {"bad": BAD, "x": "inf"},
    "NaN as a target": {"bad": BAD, "y": NAN},
    "a loss that overflows": {"bad": BAD, "y": "3e38"},
    "a gradient alone": GRADIENT,
}


def config(
    points: Config | None = None, epochs: int = 2, loader: Config | None = None, **more: Any
) -> Config:
    """Three batches of 8 an epoch, unshuffled; batch norm, Adam, a scheduler of every step.

    Args:
        points: Arguments of the dataset.
        epochs: Of the only stage.
        loader: Arguments of the loader, beside those.
        more: Specs of definitions; keys of the config as ``config_KEY``.
    """
    keys = {key.removeprefix("config_"): more.pop(key) for key in list(more) if "config_" in key}
    adam = {"class": "Adam", "model": "net", "kwargs": {"lr": 0.05}}
    scheduler = {"class": "ExponentialLR", "kwargs": {"gamma": 0.9}, "interval": "step"}
    defaults = {
        "points": {"class": "unsound.Spoilt", "kwargs": points or {}},
        "net": MODEL,
        "adam": {**adam, "lr_scheduler": scheduler},
        "training": {
            "dataset": "points",
            "kwargs": {"batch_size": 8, "shuffle": False, **(loader or {})},
        },
        "clean": ("datasets", {"class": "toys.Points"}),
        "checking": {"dataset": "clean", "kwargs": {"batch_size": 8}},
    }
    whole = toy_config(**{**defaults, **more})
    definitions = whole["initialize"]["definitions"]
    whole["initialize"]["definitions"] = [d for d in definitions if d["name"] != "parts"]
    (stage,) = whole["train"]["stages"]
    stage["stop_condition"]["kwargs"]["num_epochs"] = epochs
    return {**whole, **keys}


def made(folder: Path, spec: Config) -> Session:
    return create_session(spec, folder, preflight=False)


def stopped(folder: Path, spec: Config) -> tuple[Session, str]:
    """A session that a number stopped, as it is afterwards, and what was said."""
    session = made(folder, spec)
    with pytest.raises(NotFinite) as caught:
        session.train()
    return session, str(caught.value)


def state_of(session: Session) -> dict[str, Any]:
    """Weights and buffers, the optimizer's state, the scheduler's step."""
    optimizer = session.optimizers["adam"].state_dict()
    tensors = {
        f"{key} {name}": value
        for key, of in optimizer["state"].items()
        for name, value in of.items()
    }
    return {
        **{k: v.clone() for k, v in session.models["net"].state_dict().items()},
        **tensors,
        "lr": torch.tensor(optimizer["param_groups"][0]["lr"]),
    }


def assert_same_state(one: Session, other: Session) -> None:
    mine, theirs = state_of(one), state_of(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def rows(session: Session, stage: int = 0) -> list[dict[str, str]]:
    path = session.path / "metrics" / f"{stage}.csv"
    return [{k: v for k, v in row.items() if k != "seconds"} for row in _read(path)]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# It stops


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_stops_before_the_step(tmp_path: Path, kind: str) -> None:
    """What is saved is the state after the first iteration, as if the run had been cut there."""
    often = {"config_checkpoints": {"every_iterations": 1}}
    session, said = stopped(tmp_path / "run", config(KINDS[kind], **often))
    for piece in ("iteration 2", 'the pipeline "fit"', ", ".join(map(str, SECOND_BATCH))):
        assert piece in said
    assert session.progress.step == 1
    again = load_session(tmp_path / "run")
    assert again.progress.step == 1
    for tensor in again.models["net"].state_dict().values():
        assert tensor.isfinite().all()
    sound = made(tmp_path / "sound", config(**often))
    cut(sound, 1)
    assert_same_state(again, sound)
    assert_same_state(session, sound)


SENTENCES = {
    "NaN in the data": ['the loss "loss" is nan', 'the column "x" of the batch'],
    "infinity in the data": ['the loss "loss" is nan', 'the column "x" of the batch'],
    "NaN as a target": ['the loss "loss" is nan', 'the column "y" of the batch'],
    "a loss that overflows": ['the loss "loss" is inf', '"net"', "the loss itself is not"],
    "a gradient alone": ["a gradient is not finite", 'the node "net" of "processor"'],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says(tmp_path: Path, kind: str) -> None:
    _, said = stopped(tmp_path / "run", config(KINDS[kind]))
    for sentence in SENTENCES[kind]:
        assert sentence in said


def test_the_node_that_it_began_in(tmp_path: Path) -> None:
    """The first of two, as the second only hands on what it got."""
    nodes = [
        {"model_name": "first", "inputs": ["x"], "outputs": ["h"], "optimizer_name": "other"},
        {"model_name": "net", "inputs": ["h"], "outputs": ["y_hat"], "optimizer_name": "adam"},
    ]
    spec = config(
        KINDS["a loss that overflows"] | {"y": None, "x": "3e38"},
        net={"class": "torch.nn.Linear", "args": [2, 1]},
        first=("models", {"class": "torch.nn.Linear", "args": [2, 2]}),
        other=("optimizers", {"class": "SGD", "model": "first", "kwargs": {"lr": 0.1}}),
        processor={"neural_graph": nodes},
    )
    session = made(tmp_path / "run", spec)
    with torch.no_grad():
        session.models["first"].weight.fill_(3.0)
    with pytest.raises(NotFinite, match=r'"h" of the node "first" of "processor"'):
        session.train()


@pytest.mark.parametrize("loader", [{"num_workers": 2}, {"shuffle": True}])
def test_the_examples_are_named(tmp_path: Path, loader: Config) -> None:
    spec = config(KINDS["NaN in the data"], loader=loader)
    _, said = stopped(tmp_path / "run", spec)
    listed = said.partition("the batch has the examples ")[2].partition(" of ")[0]
    indices = [int(number) for number in listed.split(", ")]
    assert set(indices) & set(BAD)
    assert len(indices) == 8
    if "num_workers" in loader:
        assert indices == SECOND_BATCH


def test_a_batch_of_examples_without_indices(tmp_path: Path) -> None:
    flowing = {"class": "unsound.Flowing", "kwargs": {"count": 24, "bad": BAD, "x": NAN}}
    spec = config(points=None, **{"training": {"dataset": "flow", "kwargs": {"batch_size": 8}}})
    spec["initialize"]["definitions"].append({"group": "datasets", "name": "flow", "spec": flowing})
    _, said = stopped(tmp_path / "run", spec)
    assert "it is batch 2 of its epoch" in said


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path, command: Command) -> None:
    write(tmp_path / "c.json", config(KINDS["a gradient alone"]))
    create_session(config(KINDS["a gradient alone"]), tmp_path / "run")
    done = command("train.py", "run", "--trust", "unsound")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: a gradient is not finite, though every loss is")
    assert "in iteration 2 of the pipeline" in last
    assert '"on_nonfinite": "skip"' in last
    session = load_session(tmp_path / "run")
    assert session.progress.step == 0


# It leaves the batch out


SKIP: Config = {"config_on_nonfinite": "skip"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_skipped_batch_might_as_well_not_be_there(tmp_path: Path, kind: str) -> None:
    session = made(tmp_path / "run", config(KINDS[kind], **SKIP))
    session.train()
    without = made(tmp_path / "without", config({"without": SECOND_BATCH}, **SKIP))
    without.train()
    assert_same_state(session, without)
    assert [row["skipped"] for row in rows(session)] == ["1", "1"]
    assert [row["skipped"] for row in rows(without)] == ["0", "0"]
    assert [row["step"] for row in rows(session)] == ["3", "6"]
    for name in ("loss", "val loss"):
        assert [row[name] for row in rows(session)] == [row[name] for row in rows(without)]


def test_the_header_has_a_column_more(tmp_path: Path) -> None:
    for name, more, expected in (
        ("skip", SKIP, "epoch,step,loss,val loss,skipped,seconds"),
        ("stop", {}, "epoch,step,loss,val loss,seconds"),
    ):
        session = made(tmp_path / name, config(**more))
        session.train()
        header, *_ = (session.path / "metrics" / "0.csv").read_text().splitlines()
        assert header == expected


def test_skipping_changes_nothing_where_all_is_finite(tmp_path: Path) -> None:
    sessions = [made(tmp_path / str(n), config(**more)) for n, more in enumerate((SKIP, {}))]
    for session in sessions:
        session.train()
    assert_same_state(*sessions)


def test_a_buffer_that_is_replaced_by_another_tensor(tmp_path: Path) -> None:
    kinds = {"bad": BAD, "x": NAN}
    net = {"class": "unsound.Averaging"}
    session = made(tmp_path / "run", config(kinds, net=net, **SKIP))
    session.train()
    without = made(tmp_path / "without", config({"without": SECOND_BATCH}, net=net, **SKIP))
    without.train()
    assert_same_state(session, without)


def test_a_loss_with_a_state(tmp_path: Path) -> None:
    """It must not remember the batch either."""
    mse = {"class": "unsound.Centred", "inputs": ["y_hat", "y"]}
    session = made(tmp_path / "run", config({"bad": BAD, "y": NAN}, mse=mse, **SKIP))
    session.train()
    without = made(tmp_path / "without", config({"without": SECOND_BATCH}, mse=mse, **SKIP))
    without.train()
    assert_same_state(session, without)
    assert [row["skipped"] for row in rows(session)] == ["1", "1"]


def test_an_epoch_in_which_every_batch_is_skipped(tmp_path: Path) -> None:
    session = made(tmp_path / "run", config({"bad": list(range(24)), "x": NAN}, 1, **SKIP))
    before = state_of(session)
    session.train()
    assert all(torch.equal(value, before[name]) for name, value in state_of(session).items())
    (row,) = rows(session)
    assert (row["skipped"], row["loss"]) == ("3", "nan")
    load_session(tmp_path / "run")


@pytest.mark.parametrize("kind", ["NaN in the data", "a gradient alone"])
def test_a_run_that_skips_resumes_exactly(tmp_path: Path, kind: str) -> None:
    spec = config(KINDS[kind], **SKIP)
    plain = made(tmp_path / "plain", spec)
    plain.train()
    for iterations in range(1, 7):
        folder = tmp_path / f"cut at {iterations}"
        cut(made(folder, spec), iterations)
        session = load_session(folder)
        session.train()
        assert_same_state(session, plain)
        assert rows(session) == rows(plain)


def two_pipelines(**more: Any) -> Config:
    """A second training pipeline over clean points, with a network of its own."""
    own = {
        "sound": ("models", MODEL),
        "descent": ("optimizers", {"class": "SGD", "model": "sound", "kwargs": {"lr": 0.05}}),
        "second": (
            "batch_processors",
            {
                "neural_graph": [
                    {
                        "model_name": "sound",
                        "inputs": ["x"],
                        "outputs": ["y_hat"],
                        "optimizer_name": "descent",
                    }
                ]
            },
        ),
        "one": ("batch_graphs", {"nodes": ["processor"]}),
        "two": ("batch_graphs", {"nodes": ["second"]}),
    }
    whole = config(KINDS["NaN in the data"], **own, **more)
    pipelines = whole["initialize"]["pipelines"]
    pipelines["fit"]["graph"] = pipelines["check"]["graph"] = "one"
    pipelines["other"] = {**pipeline("checking", "other loss"), "graph": "two"}
    whole["train"]["stages"][0]["training_pipelines"] = ["other", "fit"]
    return whole


def test_the_pipeline_is_named(tmp_path: Path) -> None:
    _, said = stopped(tmp_path / "run", two_pipelines())
    assert 'iteration 2 of the pipeline "fit"' in said


def test_one_pipeline_skips_and_the_other_does_not(tmp_path: Path) -> None:
    session = made(tmp_path / "run", two_pipelines(**SKIP))
    session.train()
    assert [row["skipped"] for row in rows(session)] == ["1", "1"]
    assert [row["step"] for row in rows(session)] == ["5", "10"]
    steps = {int(s["step"]) for s in session.optimizers["adam"].state.values()}
    assert steps == {2 * 2}


def test_a_stage_may_have_its_own_rule(tmp_path: Path) -> None:
    spec = config(KINDS["NaN in the data"])
    (first,) = spec["train"]["stages"]
    spec["train"]["stages"] = [{**first, "on_nonfinite": "skip"}, first]
    session = made(tmp_path / "run", spec)
    with pytest.raises(NotFinite, match="iteration 8"):
        session.train()
    assert [row["skipped"] for row in rows(session)] == ["1", "1"]
    assert (session.progress.stage, session.progress.step) == (1, 6)
    spec["train"]["stages"] = [{**first, "on_nonfinite": "stop"}]
    with pytest.raises(NotFinite, match="iteration 2"):
        made(tmp_path / "stop", {**spec, "on_nonfinite": "skip"}).train()


def test_validation_that_is_not_finite_does_not_stop_the_run(tmp_path: Path) -> None:
    spoilt = {"class": "unsound.Spoilt", "kwargs": {"count": 16, "bad": BAD, "y": NAN}}
    session = made(tmp_path / "run", config(clean=("datasets", spoilt)))
    session.train()
    assert [row["val loss"] for row in rows(session)] == ["nan", "nan"]
    assert load_session(tmp_path / "run").finished


def test_a_display_name_that_is_taken(tmp_path: Path) -> None:
    spec = config(**SKIP)
    spec["initialize"]["pipelines"]["fit"] = pipeline("training", "skipped")
    with pytest.raises(ConfigError, match="skipped"):
        made(tmp_path / "run", spec)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have(tmp_path: Path, value: float) -> None:
    """A session could not be stored with it: it would go on with another value, or with none."""
    with pytest.raises(ConfigError):
        made(tmp_path / "run", config({"bad": BAD, "y": value}))
