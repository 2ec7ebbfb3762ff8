"""In a command each file of a session is hashed once, and each config is read and checked once."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from toy_config import toy_config

import torchassistant
from torchassistant import create_session, load_session
from torchassistant.cli import main
from torchassistant.config import reader
from torchassistant.session import evaluate_config, infer_config

PACKAGE = Path(torchassistant.__file__).parent


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was hashed, by its path."""
    counts: Counter[str] = Counter()
    digest = hashlib.file_digest

    def counted(file: Any, name: Any) -> Any:
        counts[os.readlink(f"/proc/self/fd/{file.fileno()}")] += 1
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return counts


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = toy_config() | {"checkpoints": {"best": {"monitor": "val loss"}}}
    create_session(config, tmp_path / "run", preflight=False)
    return tmp_path / "run"


def test_what_init_has_written_is_read_back_once(tmp_path: Path, hashed: Counter[str]) -> None:
    create_session(toy_config(), tmp_path / "run", preflight=False)
    assert max(hashed.values()) == 1  # what is written is hashed in memory


def test_training_hashes_each_file_once(run: Path, hashed: Counter[str]) -> None:
    load_session(run).train()
    assert set(hashed.values()) == {1}
    assert sum("0000000000" in name for name in hashed) > 2
    hashed.clear()
    load_session(run).train()  # there is nothing left to do
    assert set(hashed.values()) == {1}


@pytest.mark.parametrize("which", ["last", "best", "12"])
def test_evaluating_and_predicting_hash_each_file_once(
    run: Path, hashed: Counter[str], which: str
) -> None:
    load_session(run).train()
    hashed.clear()
    evaluate_config(run, checkpoint=which)
    assert set(hashed.values()) == {1}
    hashed.clear()
    infer_config(run, ["1,2,3"], checkpoint=which)
    assert set(hashed.values()) == {1}


@pytest.mark.parametrize("command", ["init", "check"])
def test_a_config_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.json").write_text(json.dumps(toy_config()))
    read: list[str] = []
    scan = reader.scan

    def counted(text: str, file: str = "") -> Any:
        read.append(file)
        return scan(text, file)

    monkeypatch.setattr(reader, "scan", counted)
    assert main([command, "c.json", "--trust", "toys"]) == 0
    assert read.count("c.json") == 1


def test_no_attribute_of_a_session_is_put_in_from_outside() -> None:
    """It is whole when it is made; what changes afterwards, it changes itself."""
    found = []
    files = [*(PACKAGE / "session").rglob("*.py"), *(PACKAGE / "cli").glob("*.py")]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                owner = ast.unparse(node.value)
                if owner.rpartition(".")[2] in ("session", "folder", "checkpoint"):
                    found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert found == []
