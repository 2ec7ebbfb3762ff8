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
    pipelines = config["initialize"]["pipelines"]
    check = pipelines["check"]
    pipelines["check"] = {
        "like": "fit",
        "input_factories": [{"loader_factory": "checking"}],
        "losses": check["losses"],
    }
    Path("like.json").write_text(json.dumps(config))
    pipelines["check"] = check
    train = config.pop("train")
    Path("base.json").write_text(json.dumps(config))
    Path("top.yaml").write_text(as_yaml({"$include": ["base.json"], "train": train}))
    return tmp_path


def test_every_form_gives_the_same_session(folder: Path, command: Command) -> None:
    specs = {}
    for name in ("whole.json", "whole.yaml", "like.json", "top.yaml"):
        done = command("-m", "torchassistant", "init", name, *TRUST, "--no-preflight")
        assert done.returncode == 0, done.stderr
        specs[name] = (folder / "run" / "spec.json").read_bytes()
        (folder / "run").rename(folder / f"run of {name}")
    assert len(set(specs.values())) == 1
    (folder / "run of whole.yaml").rename(folder / "run")
    assert command("-m", "torchassistant", "train", "run", *TRUST).returncode == 0
    (folder / "evaluate.yaml").write_text(
        "session_dir: run\n"
        "initialize:\n"
        "  pipelines:\n"
        "    check:\n"
        "      losses: [{loss_name: mse, loss_display_name: in yaml}]\n"
        "    again: {like: check, losses: [{loss_name: mse, loss_display_name: again}]}\n"
        "validation_pipelines: [check, again]\n"
    )
    done = command("-m", "torchassistant", "evaluate", "evaluate.yaml", *TRUST)
    assert done.returncode == 0 and "in yaml" in done.stdout and "again" in done.stdout
    values = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    assert [v for k, v in values.items() if k.strip() == "again"] == [
        v for k, v in values.items() if k.strip() == "in yaml"
    ]

    def explained(path: str, *more: str) -> list[str]:
        done = command("-m", "torchassistant", "check", "evaluate.yaml", "--explain", path, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert explained("validation_pipelines")[1] == "  set at evaluate.yaml:7:24"
    assert explained("eval_steps")[1].startswith("  no file sets it")
    where, stands, hides = explained("check.losses[0].loss_display_name")
    assert stands == "  set at evaluate.yaml:5:52"
    assert hides.startswith('  hides "val loss" at run/spec.json:')
    where, stands, why = explained("again.input_factories[0].loader_factory")
    assert where.endswith('is "checking"') and stands.startswith("  set at run/spec.json:")
    assert why == '  as "again" is like "check" at evaluate.yaml:6:19'
    (told,) = json.loads("".join(explained("again.input_factories[0].loader_factory", "--json")))[
        "values"
    ]
    assert told["origins"][1] == {
        **{"how": "like", "value": "check", "name": "again"},
        **{"file": "evaluate.yaml", "line": 6, "column": 19},
    }
    setting = ("--set", "adam.kwargs.lr=7")
    assert explained("adam.kwargs.lr", *setting)[1] == "  set with --set adam.kwargs.lr=7"


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
