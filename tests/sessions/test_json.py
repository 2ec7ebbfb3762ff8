"""Every command: ``--json`` prints one documented object, ``--verbose`` the whole traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from toy_config import ROOT, Command, toy_config, write

from torchassistant.cli import main
from torchassistant.cli.arguments import SUMMARIES, parser_of

WITHOUT = {"schema": "it prints JSON", "completion": "it prints a script"}
WITH = [name for name in SUMMARIES if name not in WITHOUT]
DOCS = (ROOT / "docs/commands.md").read_text(encoding="utf-8")

NEEDED = {
    "new": ["folder"],
    "export": ["--format", "safetensors", "-o", "exported"],
    "compress": ["--monitor", "val loss", "--delta", "1"],
    "log": ["--to", "mlflow"],
    "convert": ["new.safetensors"],
    "diff": ["nowhere"],
}
"""What a command needs beside what it is about."""


def section(command: str) -> str:
    found = re.search(rf"^## {command}$(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/commands.md has no section {command}"
    return found[1]


def parsed(text: str) -> dict[str, Any]:
    """One object, without numbers that JSON does not have."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("command", WITH)
def test_every_command_that_prints_results_has_json(command: str) -> None:
    assert "--json" in parser_of(command, "torchassistant").format_help()
    assert "--json" in section(command) or command in ("runs", "diff")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, in which one command follows another."""
    path = tmp_path_factory.mktemp("json")
    config = toy_config()
    config["inference"] = {"inputs_meta": [{"input_converter": {"class": "toys.NumberToRow"}}]}
    write(path / "c.json", config)
    return path


@pytest.fixture
def tmp_path(folder: Path) -> Path:
    """Where commands run."""
    return folder


CALLS = {
    "new": ["regression", "project"],
    "check": ["c.json", "--complete"],
    "init": ["c.json"],
    "train": ["run"],
    "find-lr": ["run", "--steps", "10"],
    "infer": ["run", "1,2", "no number"],
    "export": ["run", "--format", "safetensors", "-o", "exported"],
    "runs": ["."],
    "diff": ["run", "run"],
}
"""Calls of commands, in an order in which they can follow each other."""


def test_what_is_printed_is_documented(command: Command) -> None:
    for name, arguments in CALLS.items():
        done = command("-m", "torchassistant", name, *arguments, "--json")
        assert done.returncode == (1 if name == "infer" else 0), (name, done.stderr)
        for key in parsed(done.stdout):
            assert f"`{key}`" in section("runs" if name == "train" else name), (name, key)
        if name == "infer":
            made, failed = parsed(done.stdout)["predictions"]
            assert made["input"] == "1,2" and len(made["result"]["y_hat"]) == 1
            assert (failed["input"], failed["result"]) == ("no number", None)
            assert "ValueError: " in failed["error"]
            assert "no number" in done.stderr


@pytest.mark.parametrize("dataset", ["toys.Points", "unrepeatable.OfTheSystem"])
def test_verify_resume(
    folder: Path,
    verifying_here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dataset: str,
) -> None:
    monkeypatch.chdir(folder)
    write(folder / "points.json", toy_config(points={"class": dataset}))
    arguments = ["verify-resume", "points.json", "--iterations", "2", "--json"]
    status = main([*arguments, "--trust", "toys", "--trust", "unrepeatable"])
    found = parsed(capsys.readouterr().out)
    assert all(f"`{key}`" in section("verify-resume") for key in found)
    assert found["identical"] is (status == 0) is (found["difference"] is None)
    assert (found["iterations"], found["interrupted_after"]) == (2, 1)
    assert bool(found["hints"]) is (status == 2)


def test_training_tells_where_it_is(command: Command, folder: Path) -> None:
    assert command("-m", "torchassistant", "train", "run", "--json").returncode == 0
    done = command("-m", "torchassistant", "train", "run", "--json")
    (known,) = parsed(command("-m", "torchassistant", "runs", ".", "--json").stdout)["sessions"]
    found = parsed(done.stdout)
    assert found.pop("path") == str(folder / "run")
    assert found == {key: known[key] for key in found}
    assert (found["state"], found["epoch"]) == ("finished", 3)

    written = command("infer.py", "run", "--pipeline", "check", "-o", "p.csv", "--json")
    assert parsed(written.stdout) == {"output": "p.csv", "made": 10, "failed": 0}


@pytest.mark.parametrize("option", [["--overfit", "1", "--passes", "2"], ["--limit-batches", "1"]])
def test_a_quick_try(command: Command, folder: Path, option: list[str]) -> None:
    if not (folder / "quick").exists():
        assert command("init.py", "c.json", "--set", "session_dir=quick").returncode == 0
    found = parsed(command("train.py", "quick", *option, "--json").stdout)
    assert list(found) == ["session", "batches", "rows"]
    assert found["batches"] == 1
    assert all({"epoch", "step", "loss", "seconds"} <= set(row) for row in found["rows"])


@pytest.mark.parametrize("name", WITH)
def test_verbose(command: Command, name: str) -> None:
    arguments = [name, "nowhere", *NEEDED.get(name, [])]
    plain = command("-m", "torchassistant", *arguments)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert "Traceback" not in plain.stderr
    told = command("-m", "torchassistant", *arguments, "--verbose")
    assert told.returncode == 2
    assert told.stderr.startswith("Traceback (most recent call last):\n")
    assert told.stderr.endswith(plain.stderr)
