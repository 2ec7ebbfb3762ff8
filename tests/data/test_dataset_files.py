"""What lies in a data folder that would hang, or be read for ever: told, with a status of 2."""

from __future__ import annotations

import bz2
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torchvision.datasets import USPS, ImageFolder, PhotoTour

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.downloads import DataMaker
from torchassistant.data.dataset_files import walking
from torchassistant.errors import UserError

FOLDER = {"class": "torchvision.datasets.ImageFolder", "args": ["data"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two images in ``data/a``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "a").mkdir(parents=True)
    for name in ("1.png", "2.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / "data" / "a" / name)
    return tmp_path


def made(target: Any, **kwargs: Any) -> Any:
    return DataMaker(Allowlist(), dry=True).make(target, (), {"root": "data", **kwargs})


SPOILED: dict[str, Callable[[Path], None]] = {
    "is not a regular file": os.mkfifo,
    "it is not a regular file": lambda path: path.symlink_to("/dev/zero"),
    "more than this machine's memory": lambda path: os.truncate(path, 1 << 42),
}


@pytest.mark.parametrize("why", SPOILED)
def test_a_file_that_has_no_end(folder: Path, why: str) -> None:
    path = folder / "data" / "liberty.pt"
    if "memory" in why:
        path.touch()
        try:
            SPOILED[why](path)
        except OSError:
            pytest.skip("the file system has no such large files")
    else:
        SPOILED[why](path)
    with pytest.raises(UserError, match=why):
        made(PhotoTour, name="liberty")


def test_items_are_looked_at_too_and_the_users_own_code_is_not(folder: Path) -> None:
    images = made(ImageFolder)
    (folder / "data" / "a" / "1.png").unlink()
    os.mkfifo(folder / "data" / "a" / "1.png")
    with pytest.raises(UserError, match=r"data/a/1\.png is not read: it is not a regular file"):
        images[0]
    assert len(images[1]) == 2
    (folder / "own_loader.py").write_text(
        "import os\n"
        "def load(path):\n"
        "    with open(path, opener=lambda p, f: os.open(p, f | os.O_NONBLOCK)) as file:\n"
        "        return file.read()\n"
    )
    namespace: dict[str, Any] = {}
    source = (folder / "own_loader.py").read_text()
    exec(compile(source, str(folder / "own_loader.py"), "exec"), namespace)
    assert made(ImageFolder, loader=namespace["load"])[0] == ("", 0)


def test_a_maze_of_links(folder: Path) -> None:
    for name in ("b", "c"):
        (folder / "data" / "a" / name).symlink_to(".")
    with pytest.raises(UserError, match="links lead to this folder by more than 100 paths"):
        made(ImageFolder)


def test_some_links_are_fine(folder: Path) -> None:
    for name in "bcd":
        (folder / "data" / name).symlink_to("a")
    assert len(made(ImageFolder)) == 8
    with walking():
        assert len(made(ImageFolder)) == 8


def test_what_is_unpacked_to_be_read_has_the_pinned_sum(folder: Path) -> None:
    (folder / "data" / "usps.bz2").write_bytes(bz2.compress(b"1 1:0\n" * 10))
    with pytest.raises(
        UserError, match=r"data/usps\.bz2 does not have the MD5 sum that torchvision pins"
    ):
        made(USPS)


@pytest.mark.parametrize("method", ["", "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_check_does_not_hang(folder: Path, method: str) -> None:
    (folder / "data" / "a" / "1.png").unlink()
    os.mkfifo(folder / "data" / "a" / "1.png")
    images = {**FOLDER, "kwargs": {"transform": {"class": "torchvision.transforms.ToTensor"}}}
    workers = {"num_workers": 1, "multiprocessing_context": method} if method else {}
    kwargs = {"batch_size": 2, **workers}
    nodes = [{"model_name": "net", "inputs": ["x"], "outputs": ["p"], "optimizer_name": "sgd"}]
    specs: list[tuple[str, str, dict[str, Any]]] = [
        ("datasets", "images", images),
        ("loader_factories", "l", {"dataset": "images", "kwargs": kwargs}),
        ("models", "net", {"class": "torch.nn.Conv2d", "args": [3, 1, 1]}),
        ("optimizers", "sgd", {"class": "SGD", "model": "net", "kwargs": {"lr": 0.1}}),
        ("losses", "mse", {"class": "MSELoss", "inputs": ["p", "y"]}),
        ("batch_processors", "proc", {"neural_graph": nodes}),
    ]
    definitions = [{"group": g, "name": name, "spec": spec} for g, name, spec in specs]
    fit = {
        "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "l"}],
        "losses": [{"loss_name": "mse", "loss_display_name": "loss"}],
    }
    stop = {"class": "EpochsCompleted", "kwargs": {"num_epochs": 1}}
    config = {
        "session_dir": "run",
        "initialize": {"definitions": definitions, "pipelines": {"fit": fit}},
        "train": {"stages": [{"training_pipelines": ["fit"], "stop_condition": stop}]},
    }
    (folder / "c.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "torchassistant", "check", "--preflight", "c.json"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "data/a/1.png is not read" in told.stderr, told
    assert told.returncode == 2 and "Traceback" not in told.stderr
