"""``checkpoints.best`` with ``weights_only``: files of weights that are those of the best."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stopping import cut
from toy_config import files_of, toy_config
from toys import Net

from torchassistant import create_session, load_session
from torchassistant.config import as_file_name
from torchassistant.errors import ConfigError, NotSaved, SessionError
from torchassistant.session import Session, evaluate_config
from torchassistant.session.files import durable_files
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.trials.resume_check import different_state

RISING = {"monitor": "val loss", "mode": "max", "weights_only": True}
FALLING = {"monitor": "loss", "weights_only": True}
"""Losses fall: the best by the one is of the first epoch, by the other each epoch is better."""

Files = dict[str, bytes]


def made(folder: Path, best: Any, **more: Any) -> Session:
    """A session of 3 epochs of 4 iterations, with an average of its model."""
    config = toy_config()
    average = {"average_of": "net", "decay": 0.5}
    definitions = config["initialize"]["definitions"]
    definitions.append({"group": "models", "name": "mean", "spec": average})
    config["checkpoints"] = {"best": best, "keep_last": 1, **more}
    return create_session(config, folder, preflight=False)


def shown(session: Path, monitor: str = "loss") -> Files:
    return files_of(session / "weights/best" / monitor)


def stored(session: Path, which: str = "best") -> Files:
    return files_of(SessionFolder(session).verified(which).path / "models")


def trained(session: Path, *settings: str) -> Session:
    found = load_session(session, settings=settings)
    found.train()
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Session:
    session = made(tmp_path_factory.mktemp("done") / "run", [FALLING, RISING])
    session.train()
    return session


def test_they_are_the_models_of_the_best(done: Session) -> None:
    for best in (FALLING, RISING):
        monitor = str(best["monitor"])
        state = load_session(done.path, checkpoint=f"best-{monitor}")
        for name in ("net", "mean"):
            net = Net()
            net.load_state_dict(load_file(done.path / f"weights/best/{monitor}/{name}.safetensors"))
            found, wanted = net.state_dict(), state.models[name].state_dict()
            assert all(torch.equal(found[key], wanted[key]) for key in wanted)
        assert shown(done.path, monitor) == stored(done.path, f"best-{monitor}")
    assert shown(done.path, "loss") != shown(done.path, "val loss")
    measured = evaluate_config(done.path, checkpoint="best-val loss")["val loss"]
    assert measured == done.history["val loss"].max()


def test_cuts(tmp_path: Path, done: Session) -> None:
    """They are those of the stored best wherever a run is cut, and only monitors that ask."""
    session = made(tmp_path / "run", [FALLING, {**RISING, "weights_only": False}])
    cut(session, 3)
    assert not (session.path / "weights").exists()
    session = load_session(session.path)
    cut(session, 1)
    for iterations in (1, 2):
        cut(load_session(session.path), iterations)
        assert shown(session.path) == stored(session.path)
    trained(session.path)
    assert shown(session.path) == shown(done.path)
    assert os.listdir(session.path / "weights/best") == ["loss"]


def test_killed_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: Session
) -> None:
    """What stands on the disk at each moment is resumed, as after a kill at that moment."""
    session = made(tmp_path / "run", FALLING)
    moments: list[Path] = []
    real = durable_files.sync_path

    def standing(path: Path) -> None:
        if "weights" in path.parts or (path.name == "checkpoints" and session.progress.epoch):
            moments.append(tmp_path / f"{len(moments)}")
            shutil.copytree(session.path, moments[-1])
        real(path)

    monkeypatch.setattr(durable_files, "sync_path", standing)
    session.train()
    monkeypatch.undo()
    behind = 0
    for path in moments:
        assert (path / "weights/best/loss").is_dir() == bool(shown(path)), "it is whole, or not"
        behind += bool(shown(path)) and shown(path) != stored(path)
        trained(path)
        assert shown(path) == shown(done.path)
        assert os.listdir(path / "weights/best") == ["loss"]
    assert behind > 1


def test_what_was_changed_is_put_back(tmp_path: Path, done: Session) -> None:
    """Damaged, edited, missing; or left by a system that cannot exchange names."""
    session = made(tmp_path / "run", FALLING)
    cut(session, 9)
    folder = session.path / "weights/best/loss"
    whole = shown(session.path)
    for number, spoil in enumerate(
        (
            lambda: (folder / "net.safetensors").write_bytes(whole["mean.safetensors"]),
            lambda: (folder / "net.safetensors").unlink(),
            lambda: (folder / "more.safetensors").write_bytes(b""),
            lambda: shutil.rmtree(folder.parents[1]),
            lambda: folder.rename(folder.with_name("loss.replaced")),
        )
    ):
        path = tmp_path / f"{number}"
        spoil()
        shutil.copytree(session.path, path)
        cut(load_session(path), 1)
        assert shown(path) == whole
        assert os.listdir(path / "weights/best") == ["loss"]
        shutil.rmtree(folder.parents[1], ignore_errors=True)
        for name, data in whole.items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def test_the_key_may_change(tmp_path: Path) -> None:
    """The files follow as training goes on."""
    session = made(tmp_path / "run", {**FALLING, "weights_only": False}, keep_last=5)
    cut(session, 5)

    def changed(setting: str) -> None:
        cut(load_session(session.path, settings=[f"checkpoints.best{setting}"]), 1)

    changed(".weights_only=true")
    assert shown(session.path) == stored(session.path)
    changed(f"={json.dumps([RISING])}")
    assert os.listdir(session.path / "weights/best") == ["val loss"]
    assert shown(session.path, "val loss") == stored(session.path)
    changed("=null")
    assert not os.listdir(session.path / "weights/best")


def test_a_damaged_best_is_passed_over(tmp_path: Path) -> None:
    session = made(tmp_path / "run", {**FALLING, "keep": 2}, keep_last=2)
    session.train()
    best = session.folder.verified("best").path
    (best / "models/net.safetensors").write_bytes(b"")
    trained(session.path)
    assert shown(session.path) == stored(session.path)
    assert session.folder.verified("best").path != best


def test_what_could_not_be_kept_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = made(tmp_path / "run", FALLING)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(NotSaved, match=r"weights of the best states could not be kept: No sp"):
            session.train()
    assert not shown(session.path)
    assert load_session(session.path).finished
    trained(session.path)
    assert shown(session.path) == stored(session.path)


def test_a_link_in_their_place_is_not_followed(tmp_path: Path) -> None:
    session = made(tmp_path / "run", FALLING)
    (tmp_path / "elsewhere").mkdir()
    (session.path / "weights").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SessionError, match="weights is a link"):
        load_session(session.path)
    with pytest.raises(NotSaved, match="weights is a link"):
        session.train()
    assert not os.listdir(tmp_path / "elsewhere")


def test_a_session_with_them_is_replaced_and_no_other(tmp_path: Path) -> None:
    session = made(tmp_path / "run", FALLING)
    session.train()
    session.folder.expect_nothing_else()
    mine = session.path / "weights/best/loss/mine.txt"
    mine.write_text("")
    with pytest.raises(SessionError, match=r"weights/best/loss/mine\.txt"):
        session.folder.expect_nothing_else()


def test_verify_resume_compares_them(tmp_path: Path, done: Session) -> None:
    path = tmp_path / "copy"
    shutil.copytree(done.path, path)
    assert different_state(done.path, path) is None
    file = path / "weights/best/loss/net.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    assert different_state(done.path, path) == "weights/best/loss/net.safetensors"


def test_names_of_folders() -> None:
    wanted = {"val acc": "val acc", "bleu/4": "bleu%2F4", "50%": "50%25", "ärger": "ärger"}
    assert {text: as_file_name(text) for text in wanted} == wanted
    odd = ["con", ".", "..", "a ", "x\n", "y" * 300]
    assert all(len(as_file_name(text)) == 64 for text in odd)


def test_two_that_some_systems_take_for_one(tmp_path: Path) -> None:
    best = [RISING, {"monitor": "Val Loss", "weights_only": True}]
    with pytest.raises(ConfigError, match=r'best\[1\].weights_only.* one folder with .*"val loss"'):
        made(tmp_path / "run", best)
