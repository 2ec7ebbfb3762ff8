"""The wheel holds the whole package and nothing else, and works by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

import torchassistant

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network from a copy, so that nothing is left in the project."""
    source = tmp_path_factory.mktemp("source")
    target = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(ROOT / name, source / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "torchassistant", source / "torchassistant", ignore=ignored)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, *alone, "--wheel-dir", str(target), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "torchassistant").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert "torchassistant/py.typed" in names
    assert names == ours


def test_wheel_names_version_licence_and_command(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        parts = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(parts["METADATA"]).decode()
        entry_points = archive.read(parts["entry_points.txt"]).decode()
    assert f"Version: {torchassistant.__version__}\n" in metadata
    assert "MIT\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
    assert "torchassistant = torchassistant.cli:main_console" in entry_points
    assert "LICENSE" in parts


def test_wheel_brings_the_schema_and_prints_it(wheel: Path, tmp_path: Path) -> None:
    schema = (ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8")
    with ZipFile(wheel) as archive:
        assert archive.read("torchassistant/config.schema.json").decode() == schema
        archive.extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from torchassistant import cli; "
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code} sys.exit(cli.main_console())", "schema"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == schema


def test_wheel_runs_away_from_the_project(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    # -I: neither the working directory nor PYTHONPATH may lend the project's own files.
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); "
        "from torchassistant import cli; print(cli.__file__); sys.exit(cli.main_console())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))


def test_pyproject_leaves_the_description_to_setup_cfg() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject.keys() == {"build-system", "tool"}
    assert "setuptools" not in pyproject["tool"]
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["name"] == "torchassistant"
