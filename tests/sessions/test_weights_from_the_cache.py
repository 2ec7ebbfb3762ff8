"""Weights are read as weights, and only those whose sum their name tells."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from fake_mnist import Server, serving
from toy_config import toy_config, write
from weight_files import weight_file

from torchassistant.errors import UserError
from torchassistant.session import Draft, Session, store

NET = {"class": "torchvision.models.squeezenet1_1", "kwargs": {"weights": "DEFAULT"}}


class Runs:
    """Is left behind where a file is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


class Cache:
    """torch's cache, and a server that offers weights.

    Args:
        folder: Where torch keeps what it has downloaded.
        server: Serves the weights.
        file: What it serves.
    """

    def __init__(self, folder: Path, server: Server, file: Path) -> None:
        self.server, self.file = server, file
        self.path = folder / "hub" / "checkpoints" / file.name

    def init(self) -> Session:
        return store(Draft("c.json"), with_preflight=False)[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    torch.manual_seed(3)
    state = torchvision.models.squeezenet1_1().state_dict()
    file = weight_file(state, tmp_path / "served")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "pretrained_parts toys")
    mse = {"class": "CrossEntropyLoss", "inputs": ["y_hat", "y"]}
    config = toy_config(points={"class": "pretrained_parts.Images"}, net=NET, mse=mse)
    write(tmp_path / "here" / "c.json", config)
    with serving(tmp_path / "served") as server:
        known = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
        monkeypatch.setattr(known, "url", f"{server.address}{file.name}")
        yield Cache(tmp_path / "torch", server, file)


def test_init_downloads_them_and_check_leaves_them_out(cache: Cache) -> None:
    report = Draft("c.json", dry=True).preflight()
    (told,) = [w.message for w in report.warnings if "weights" in w.message]
    assert cache.file.name in told and "init downloads them; check never does" in told
    assert not cache.server.asked and not cache.path.exists()
    net = cache.init().models["net"]
    assert cache.path.read_bytes() == cache.file.read_bytes()
    kept = torch.hub.load_state_dict_from_url(cache.file.as_uri(), weights_only=True)
    assert all(torch.equal(value, kept[key]) for key, value in net.state_dict().items())
    report = Draft("c.json", dry=True).preflight()
    assert not [w for w in report.warnings if "weights" in w.message]


@pytest.mark.parametrize(
    "kind", ["others", "runs code", "a FIFO", "a link to a device", "cut", "a link to others"]
)
@pytest.mark.parametrize("dry", [False, True])
def test_what_lies_in_the_cache_is_looked_at(cache: Cache, kind: str, dry: bool) -> None:
    cache.path.parent.mkdir(parents=True)
    other = weight_file({"weight": torch.zeros(2)}, cache.path.parents[2])
    if kind == "others":
        other.rename(cache.path)
    elif kind == "runs code":
        weight_file({"weight": Runs()}, cache.path.parent).rename(cache.path)
    elif kind == "a FIFO":
        os.mkfifo(cache.path)
    elif kind == "a link to a device":
        cache.path.symlink_to("/dev/zero")
    elif kind == "cut":
        cache.path.write_bytes(cache.file.read_bytes()[:1000])
    else:
        cache.path.symlink_to(other)
    with pytest.raises(UserError) as caught:
        Draft("c.json", dry=True).preflight() if dry else cache.init()
    assert f"the weights in {cache.path} are not read" in str(caught.value)
    assert not cache.server.asked and not Path("ran").exists() and not Path("run").exists()


def test_a_pickle_of_the_right_name_runs_nothing(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its sum is right, and still it is read as weights only.
    file = weight_file({"weight": Runs()}, cache.path.parent)
    known = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
    monkeypatch.setattr(known, "url", f"{cache.server.address}{file.name}")
    with pytest.raises(UserError, match="Weights only load failed"):
        cache.init()
    assert not Path("ran").exists()


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_a_network_that_fails_is_one_sentence(cache: Cache) -> None:
    cache.file.unlink()

    def fail() -> str:  # its frame and the error are a cycle, in which the connection may hang
        with pytest.raises(UserError) as caught:
            cache.init()
        (problem,) = caught.value.problems
        return problem.message

    assert f"HTTP Error 404: File not found: {cache.server.address}" in fail()
    assert not cache.path.exists()
    gc.collect()  # finds a connection that is left open
