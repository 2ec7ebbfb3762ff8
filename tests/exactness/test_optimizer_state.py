"""Optimizers that begin with the state of others, beside loops written by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, batches_of, fit, made, one_model, stage
from exact_runs import Runs
from safetensors.torch import save_file
from torch.optim import SGD

from torchassistant import create_session, load_session
from torchassistant.config import OptimizerStateSpec
from torchassistant.conversion import convert_weights
from torchassistant.errors import ConfigError, UserCodeError
from torchassistant.session import Draft, Session

SHAPES = [[6, 4], [6], [1, 6], [1]]


@pytest.fixture(autouse=True)
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session of an epoch, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "exact_parts state_parts")
    session = create_session(config(None, 1), session_dir="first")
    session.train()
    return session


def config(state: Any, epochs: int = 1, lr: float = 0.05, **more: Any) -> Config:
    descent = {**made("SGD", lr=lr, momentum=0.9), "model": "net", **more}
    if state is not None:
        descent["state"] = state
    return one_model({"optimizers": {"descent": descent}}, stage("fit", epochs=epochs))


def told(state: Any, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        create_session(config(state, **more), session_dir="run")
    return str(caught.value)


def test_it_goes_on_with_the_momenta_of_another_session(first: Session) -> None:
    both = config({"from": "session:first"}, lr=0.01)
    definitions = both["initialize"]["definitions"]
    net = next(one for one in definitions if one["name"] == "net")
    net["spec"] = {**net["spec"], "weights": {"from": "session:first"}}
    create_session(both, session_dir="run")
    shutil.rmtree("first")
    session = load_session("run")
    by_hand = first.models["net"]
    descent = SGD(by_hand.parameters(), lr=0.05, momentum=0.9)
    descent.load_state_dict(first.optimizers["descent"].state_dict())
    descent.param_groups[0]["lr"] = 0.01
    session.train()
    fit(by_hand, descent, batches_of(first.datasets["points"]), epochs=1)
    for mine, theirs in zip(session.models["net"].parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_it_goes_on_with_the_state_of_a_checkpoint_of_another_program(first: Session) -> None:
    by_hand = first.models["net"]
    adam = torch.optim.AdamW(by_hand.parameters(), lr=0.05, amsgrad=True)
    points = batches_of(first.datasets["points"])
    fit(by_hand, adam, points, epochs=1)
    weights = by_hand.state_dict()
    checkpoint = {"state_dict": weights, "optimizer_states": [adam.state_dict()]}
    vars(torch)["save"](checkpoint, "a.ckpt")
    save_file(weights, "weights.safetensors")
    convert_weights("a.ckpt", "adam.safetensors", optimizer="optimizer_states.0")
    goes_on = config({"from": "adam.safetensors"}, lr=0.01)
    for one in goes_on["initialize"]["definitions"]:
        if one["name"] == "net":
            one["spec"] = {**one["spec"], "weights": {"from": "weights.safetensors"}}
        if one["name"] == "descent":
            one["spec"] = {**one["spec"], **made("AdamW", lr=0.01, amsgrad=True)}
    session = create_session(goes_on, session_dir="run")
    for name in ("a.ckpt", "adam.safetensors", "weights.safetensors"):
        Path(name).unlink()
    session = load_session("run")
    adam.param_groups[0]["lr"] = 0.01
    session.train()
    fit(by_hand, adam, points, epochs=1)
    for mine, theirs in zip(session.models["net"].parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_file_that_holds_no_state_is_told() -> None:
    save_file({"a": torch.zeros(2)}, "weights.safetensors")
    save_file({"a": torch.zeros(2)}, "hostile.safetensors", {"state": '{"$": "tensor"}'})
    save_file({"a": torch.zeros(2)}, "list.safetensors", {"state": "[1]"})
    Path("cut.safetensors").write_bytes(Path("weights.safetensors").read_bytes()[:20])
    Path("a.pth").touch()
    for file, message in (
        ("weights.safetensors", "holds weights, and no state of an optimizer"),
        ("hostile.safetensors", "holds no state"),
        ("cut.safetensors", "is not a whole .safetensors file"),
        ("none.safetensors", "there is no none.safetensors"),
        ("a.pth", 'convert a.pth a.safetensors --optimizer" makes a file'),
        ("list.safetensors", "must be the state_dict of an optimizer; found list"),
    ):
        assert message in told({"from": file})


def test_a_function_changes_it_once(first: Session, tmp_path: Path) -> None:
    runs = Runs(config({"from": "session:first", "change_fn": "state_parts.halved"}), tmp_path)
    assert Path("changed").read_text() == "once\n"
    begun = load_session(tmp_path / "created").optimizers["descent"].state_dict()["state"]
    for index, own in first.optimizers["descent"].state_dict()["state"].items():
        assert torch.equal(begun[index]["momentum_buffer"], own["momentum_buffer"] / 2)
    shutil.rmtree("first")
    runs.check_cuts([2])


def test_a_function_gives_it() -> None:
    state = {"factory_fn": "state_parts.ones", "args": [SHAPES]}
    session = create_session(config(state), session_dir="run")
    begun = session.optimizers["descent"].state_dict()["state"]
    assert [own["momentum_buffer"].tolist() for own in begun.values()] == [
        torch.ones(shape).tolist() for shape in SHAPES
    ]
    assert session.optimizers["descent"].param_groups[0]["lr"] == 0.05


def test_what_does_not_fit_is_told() -> None:
    other = {"factory_fn": "state_parts.ones", "args": [SHAPES[:2]]}
    assert "it has groups of [2] parameters, and the optimizer has [4]" in told(other)
    other["args"] = [[[1], *SHAPES[1:]]]
    message = told(other)
    assert "state of parameter 0: momentum_buffer" in message and '"change_fn"' in message
    empty = {"from": "session:first", "change_fn": "state_parts.emptied"}
    assert "must be the state_dict of an optimizer; found list" in told(empty)
    with pytest.raises(UserCodeError, match='changing the state of the optimizer "descent"'):
        told({**empty, "change_fn": "state_parts.broken"})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"from": "session:first", "optimizer": "adam"}, 'no optimizer is named "adam" in first'),
        ({"from": "session:nowhere"}, "nowhere does not exist"),
        ({"from": "session:first", "checkpoint": "77"}, 'no checkpoint "77"'),
        ({"from": "first"}, 'first is a session: write "session:first"'),
        ({"factory_fn": "state_parts.ons"}, 'did you mean "ones"'),
        ({"from": "session:first", "change_fn": "state_parts.halfed"}, "halved"),
    ],
)
def test_a_wrong_source_is_told_before_anything_is_built(state: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Draft(config(state), dry=True)
    assert message in str(caught.value)


def test_the_session_of_a_source() -> None:
    assert OptimizerStateSpec(from_="session:a/b").session == "a/b"
