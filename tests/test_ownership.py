"""Whose code a file is, wherever and however the libraries are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import torchassistant
from torchassistant import ownership
from torchassistant.ownership import Ownership, is_from_users_code

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = Path(torch.__file__).parents[1]
PARTS = """
import torch
from torch import nn
import torch.nn.functional as F


class Points:
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return torch.ones(2) * index, torch.ones(1)


class Net(nn.Module):
    def __init__(self, fails=False):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.fails = fails

    def forward(self, x):
        if self.fails:
            raise ArithmeticError("no forward today")
        return self.linear(F.relu(x))
"""
CONFIG = {
    "session_dir": "run",
    "seed": 1,
    "device": "cpu",
    "initialize": {
        "definitions": [
            {"group": "datasets", "name": "points", "spec": {"class": "parts.Points"}},
            {"group": "models", "name": "net", "spec": {"class": "parts.Net"}},
            {
                "group": "loader_factories",
                "name": "all",
                "spec": {"dataset": "points", "kwargs": {"batch_size": 8}},
            },
            {"group": "optimizers", "name": "sgd", "spec": {"class": "SGD", "model": "net"}},
            {
                "group": "losses",
                "name": "mse",
                "spec": {"class": "MSELoss", "inputs": ["y_hat", "y"]},
            },
            {
                "group": "batch_processors",
                "name": "processor",
                "spec": {
                    "neural_graph": [
                        {
                            "model_name": "net",
                            "inputs": ["x"],
                            "outputs": ["y_hat"],
                            "optimizer_name": "sgd",
                        }
                    ]
                },
            },
        ],
        "pipelines": {
            "fit": {
                "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "all"}],
                "losses": [{"loss_name": "mse", "loss_display_name": "loss"}],
            }
        },
    },
    "train": {
        "stages": [
            {
                "training_pipelines": ["fit"],
                "validation_pipelines": ["fit"],
                "stop_condition": {"class": "EpochsCompleted", "kwargs": {"num_epochs": 1}},
            }
        ]
    },
}


def install(folder: Path, name: str, *files: str, record: str | None = "RECORD") -> None:
    """A distribution in a folder, as pip leaves it there."""
    listed = [*files, f"{name}-1.0.dist-info/METADATA", "../../bin/tool"]
    for file in (*files, f"{name}-1.0.dist-info/METADATA"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")
    (folder / f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    if record:
        text = "".join(f"{file},,\n" for file in listed)
        (folder / f"{name}-1.0.dist-info" / record).write_text(text)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(ownership, "_settled", [])
    return folder


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


def test_what_is_below_the_working_directory_is_the_users(work: Path) -> None:
    own = Ownership()
    assert own.is_users(put(work / "mine.py"))
    assert own.is_users(put(work / "deep" / "er" / "mine.py"))
    assert not own.is_users(put(work.parent / "beside.py"))
    assert not own.is_users(json.__file__)
    assert not own.is_users(torch.__file__)
    assert not own.is_users(torchassistant.__file__)
    for none in ("<string>", "<frozen runpy>", "<eval_with_key>.0", ""):
        assert not own.is_users(none)


def test_libraries_below_the_working_directory_are_libraries(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pip install --target .
    install(work, "two", "two/__init__.py")
    assert not Ownership().is_users(put(work / ".venv/lib/python3.11/site-packages/lib/a.py"))
    assert not Ownership().is_users(put(work / "env/lib/python3/dist-packages/a.py"))
    # pip install --target libs, and libs on PYTHONPATH
    install(work / "libs", "one", "one/__init__.py", "one/sub/a.py", "single.py")
    put(work / "libs" / "mine.py")
    monkeypatch.syspath_prepend(str(work / "libs"))
    assert not Ownership().is_local("libs/one/sub/a.py")
    assert not Ownership().is_local("libs/one")
    assert not Ownership().is_users("libs/single.py")
    assert Ownership().is_users("libs/mine.py")
    assert not Ownership().is_users("two/__init__.py")
    assert Ownership().is_users(put(work / "mine.py"))


def test_a_project_installed_for_editing_is_no_library(work: Path) -> None:
    put(work / "mine" / "__init__.py")
    (work / "mine.egg-info").mkdir()
    (work / "mine.egg-info" / "PKG-INFO").write_text("Name: mine\nVersion: 1.0\n")
    (work / "mine.egg-info" / "SOURCES.txt").write_text("mine/__init__.py\n")
    (work / "mine.egg-info" / "top_level.txt").write_text("mine\n")
    assert Ownership().is_users("mine/__init__.py")


def test_a_project_may_lie_where_libraries_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "site-packages"
    install(site, "other", "other/__init__.py", "other/part/a.py")
    (site / "work").mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(site / "work")
    assert Ownership().is_users(put(site / "work" / "mine.py"))
    assert not Ownership().is_users(str(site / "other" / "__init__.py"))
    assert not Ownership().is_users(put(site / "work/.venv/lib/site-packages/a.py"))
    monkeypatch.chdir(site / "other" / "part")
    assert not Ownership().is_users("a.py")


def test_what_is_trusted_is_the_users_unless_it_is_installed(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, libs = work.parent / "outside", work.parent / "libs"
    put(outside / "trusted_module.py")
    put(outside / "other_module.py")
    put(outside / "trusted_package" / "__init__.py")
    inner = put(outside / "trusted_package" / "inner.py")
    install(libs, "three", "trusted_library/__init__.py")
    monkeypatch.syspath_prepend(str(outside))
    monkeypatch.syspath_prepend(str(libs))
    names = ("trusted_module", "trusted_package", "trusted_library")
    own = Ownership(names)
    for name in (*names, "other_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        __import__(name)
    assert own.is_users(str(outside / "trusted_module.py"))
    assert own.is_users(inner)
    assert not own.is_users(str(outside / "other_module.py"))
    assert not own.is_users(str(libs / "trusted_library" / "__init__.py"))
    assert not own.is_local(inner)
    assert not Ownership().is_users(inner)


def test_the_working_directory_is_that_of_the_beginning(work: Path) -> None:
    own = ownership.settle(())
    mine = put(work / "mine.py")
    os.chdir(work.parent)
    assert own.is_users(mine)
    assert ownership.is_users_file(mine)
    assert not own.is_users(put(work.parent / "beside.py"))


def test_an_exception_is_the_users_where_code_of_the_user_ran(work: Path) -> None:
    (work / "raising.py").write_text("def f(g):\n    return g()\n")
    import importlib

    importlib.invalidate_caches()
    f: Callable[..., object] = importlib.import_module("raising").f
    sys.modules.pop("raising")
    with pytest.raises(json.JSONDecodeError) as mine:
        f(lambda: json.loads("{"))
    assert is_from_users_code(mine.value)
    with pytest.raises(json.JSONDecodeError) as theirs:
        json.loads("{")
    assert not is_from_users_code(theirs.value)


def run(
    python: Path | str, folder: Path, *arguments: str, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """A command in an environment of its own; more than a minute is taken for no end."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if path:
        environment["PYTHONPATH"] = path
    return subprocess.run(
        [str(python), "-m", "torchassistant", *arguments],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def project(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "parts.py").write_text(PARTS)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def environment_over_another(folder: Path) -> Path:
    """The Python of a virtual environment whose packages are another's, by a .pth file."""
    base = Path(sys._base_executable)  # type: ignore[attr-defined]
    made = [str(base), "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(made, check=True, capture_output=True)
    (site,) = folder.glob("[Ll]ib/**/site-packages")
    (site / "base.pth").write_text(f"{LIBRARIES}\n{ROOT}\n")
    return next(folder.glob("bin/python")).absolute()


def test_an_environment_over_another(tmp_path: Path) -> None:
    work = project(tmp_path / "work")
    python = environment_over_another(work / ".venv")
    done = run(python, work, "init", "config.json")
    assert done.returncode == 0, done.stderr
    stored = next((work / "run").glob("checkpoints/*/code.json")).read_text()
    assert {role: list(code) for role, code in json.loads(stored).items()} == {
        "datasets": ["parts.Points"],
        "models": ["parts.Net"],
    }
    done = run(python, work, "evaluate", "run", "--set", "net.kwargs.fails=true")
    assert done.returncode == 1
    assert "parts.py" in done.stderr
    assert "site-packages" not in done.stderr


def test_the_package_and_its_libraries_in_one_folder(tmp_path: Path) -> None:
    work = project(tmp_path / "work")
    libs = work / "libs"
    libs.mkdir()
    for path in LIBRARIES.iterdir():
        if not path.name.lower().startswith(("torchassistant", "__editable", "__pycache__")):
            (libs / path.name).symlink_to(path)
    shutil.copytree(ROOT / "torchassistant", libs / "torchassistant")
    base = sys._base_executable  # type: ignore[attr-defined]
    done = run(base, work, "check", "config.json", path=str(libs))
    assert done.returncode == 0, done.stderr
