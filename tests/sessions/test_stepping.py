"""Optimizers that cannot step are told before the training, or with their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Config, toy_config

import torchassistant
from torchassistant.errors import ConfigError, DataError, UserCodeError, UserError

TRUST = ["stepping_parts"]
AT = "initialize.definitions[4].spec"


def config(optimizer: Config, sparse: bool = True, **changes: Any) -> Config:
    given: dict[str, Any] = {
        "points": {"class": "stepping_parts.Rows"},
        "training": {"dataset": "points", "kwargs": {"batch_size": 4}},
        "checking": {"dataset": "points", "kwargs": {"batch_size": 4}},
        "net": {"class": "stepping_parts.Net", "kwargs": {"sparse": sparse}},
        "adam": {"model": "net", "kwargs": {"lr": 0.1}, **optimizer},
        **changes,
    }
    made = toy_config(**given)
    made["initialize"]["definitions"] = [
        d for d in made["initialize"]["definitions"] if d["name"] != "parts"
    ]
    return made


UNFIT = {
    "sparse on Adam": ({"class": "Adam"}, True, "float32", "does not support sparse gradients"),
    "dense on SparseAdam": ({"class": "SparseAdam"}, False, "float32", "not support dense"),
    "sparse on Adam in fp16": ({"class": "Adam"}, True, "fp16", "not support sparse gradients"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_gradients_that_an_optimizer_does_not_take(tmp_path: Path, name: str) -> None:
    optimizer, sparse, precision, sentence = UNFIT[name]
    made = {**config(optimizer, sparse), "precision": precision}
    with pytest.raises(ConfigError, match=sentence) as caught:
        torchassistant.create_session(made, tmp_path / "run", trust=TRUST)
    (problem,) = caught.value.problems
    assert problem.place.path == AT
    assert problem.message.startswith('the step of the optimizer "adam", in the pipeline "fit": ')
    session = torchassistant.create_session(made, tmp_path / "run", trust=TRUST, preflight=False)
    with pytest.raises(
        DataError, match='the step of the optimizer "adam", in the pipe.*' + sentence
    ):
        session.train()


@pytest.mark.parametrize("kind", ["AsksUnseen", "Insists"])
def test_an_optimizer_of_the_user_that_raises(tmp_path: Path, kind: str) -> None:
    made = config({"class": f"stepping_parts.{kind}"})
    with pytest.raises(UserCodeError, match='the step of the optimizer "adam", in the pipeline'):
        torchassistant.create_session(made, tmp_path / "run", trust=TRUST)
    session = torchassistant.create_session(made, tmp_path / "run", trust=TRUST, preflight=False)
    with pytest.raises(UserCodeError, match='the step of the optimizer "adam", in the pipeline'):
        session.train()


def test_a_clipper_that_cannot_clip(tmp_path: Path) -> None:
    clipper = ("gradient_clippers", {"model": "net", "clip_value": 1.0})
    made = config({"class": "SGD"}, clipper=clipper)
    with pytest.raises(ConfigError) as caught:
        torchassistant.create_session(made, tmp_path / "run", trust=TRUST)
    (problem,) = caught.value.problems
    assert problem.place.path == "initialize.definitions[7].spec"
    assert 'the gradient clipper "clipper"' in problem.message
    assert len(problem.message) < 300


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize(
    ("scheduler", "error"),
    [
        ({"class": "OneCycleLR", "kwargs": {"max_lr": 0.1, "total_steps": 2}}, UserError),
        ({"class": "stepping_parts.Stops"}, UserCodeError),
    ],
)
def test_a_scheduler_that_comes_to_its_end(
    tmp_path: Path, scheduler: Config, error: type[Exception], interval: str
) -> None:
    optimizer = {"class": "SGD", "lr_scheduler": {**scheduler, "interval": interval}}
    made = config(optimizer)
    session = torchassistant.create_session(made, tmp_path / "run", trust=TRUST)
    with pytest.raises(error, match='the scheduler of the optimizer "adam"'):
        session.train()


@pytest.mark.parametrize("optimizer", ["SGD", "SparseAdam"])
def test_what_can_step_is_trained(tmp_path: Path, optimizer: str) -> None:
    clipper = ("gradient_clippers", {"model": "net", "clip_norm": 1.0})
    momentum = {"momentum": 0.9} if optimizer == "SGD" else {}
    made = config({"class": optimizer, "kwargs": {"lr": 0.1, **momentum}}, clipper=clipper)
    session = torchassistant.create_session(made, tmp_path / "run", trust=TRUST)
    assert session.optimizers["adam"].state_dict()["state"] == {}
    session.train()
    again = torchassistant.load_session(tmp_path / "run", trust=TRUST)
    one, other = (s.optimizers["adam"].state_dict()["state"][0] for s in (session, again))
    assert one.keys() == other.keys()
    for key in one:
        values = [torch.as_tensor(found[key]) for found in (one, other)]
        assert values[0].layout == values[1].layout
        assert torch.equal(values[0].to_dense(), values[1].to_dense())
