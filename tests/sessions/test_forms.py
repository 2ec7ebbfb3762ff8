"""The commands with configs in YAML, in several files, in parts; and ``cli.explaining``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_config import Command, environment, toy_config

from torchassistant.cli import main
from torchassistant.config import as_yaml

TRUST = ("--trust", "toys")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config in both forms, and in two files."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    config = toy_config()
    Path("whole.json").write_text(json.dumps(config))
    Path("whole.yaml").write_text(as_yaml(config))
    train = config.pop("train")
    Path("base.json").write_text(json.dumps(config))
    Path("top.yaml").write_text(as_yaml({"$include": ["base.json"], "train": train}))
    return tmp_path


def test_every_form_gives_the_same_session(folder: Path, command: Command) -> None:
    specs = {}
    for name in ("whole.json", "whole.yaml", "top.yaml"):
        done = command("-m", "torchassistant", "init", name, *TRUST, "--no-preflight")
        assert done.returncode == 0, done.stderr
        specs[name] = (folder / "run" / "spec.json").read_bytes()
        (folder / "run").rename(folder / f"run of {name}")
    assert specs["whole.json"] == specs["whole.yaml"] == specs["top.yaml"]
    (folder / "run of whole.yaml").rename(folder / "run")
    assert command("-m", "torchassistant", "train", "run", *TRUST).returncode == 0
    (folder / "evaluate.yaml").write_text(
        "session_dir: run\n"
        "initialize:\n"
        "  pipelines:\n"
        "    check:\n"
        "      losses: [{loss_name: mse, loss_display_name: in yaml}]\n"
        "validation_pipelines: [check]\n"
    )
    done = command("-m", "torchassistant", "evaluate", "evaluate.yaml", *TRUST)
    assert done.returncode == 0 and "in yaml" in done.stdout


def test_who_set_a_value(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rate.yaml").write_text("0.5\n")
    explain = [
        "check",
        "top.yaml",
        "--explain",
        "adam.kwargs.lr",
        "--set",
        "adam.kwargs.lr=@rate.yaml",
    ]
    assert main(explain) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "initialize.definitions[5].spec.kwargs.lr is 0.5"
    assert lines[1] == "  set with --set adam.kwargs.lr=@rate.yaml"
    assert lines[2].startswith("  hides 0.01 at base.json:1:")
    assert main([*explain, "--json"]) == 0
    (value,) = json.loads(capsys.readouterr().out)["values"]
    assert [origin["how"] for origin in value["origins"]] == ["set", "hidden"]
    assert (value["value"], value["origins"][1]["file"]) == (0.5, "base.json")
    assert main([*explain, "--set", "adm.kwargs.lr=1"]) == 2
    told = capsys.readouterr()
    assert told.out.splitlines() == lines and 'did you mean "adam"?' in told.err
    assert main(["check", "top.yaml", "--explain", "adm.kwargs.lr"]) == 2
    assert 'adm.kwargs.lr: no definition or pipeline is named "adm"' in capsys.readouterr().err


def test_where_the_schema_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--path"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text("utf-8"))
