"""Models without what trains and measures them: no losses, no optimizers, nor their code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from toy_config import Command, Config, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, SessionError, UserCodeError
from torchassistant.session import evaluate_config


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "toys lost")
    return tmp_path


def config(**changes: Config) -> Config:
    error = {"class": "torchmetrics.MeanSquaredError", "inputs": ["y_hat", "y"]}
    found = toy_config(error=("metrics", error), **changes)
    check = found["initialize"]["pipelines"]["check"]
    check["metrics"] = [{"metric_name": "error"}]
    found["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 1
    return found


def trained_with_a_lost_loss(folder: Path) -> None:
    """A session whose loss is in a module that is gone."""
    module = folder / "lost.py"
    module.write_text("def error(y_hat, y):\n    return (y_hat - y).square().mean()\n")
    session = create_session(config(mse={"class": "lost.error", "inputs": ["y_hat", "y"]}))
    session.train()
    module.unlink()
    sys.modules.pop("lost")


def test_models_are_loaded_without_the_code_of_losses(folder: Path) -> None:
    trained_with_a_lost_loss(folder)
    with pytest.raises((ConfigError, UserCodeError), match="lost"):
        load_session("run")
    session = load_session("run", only=["models"], device="cpu")
    assert [*session.models] == ["net"]
    for group in ("losses", "optimizers", "metrics", "pipelines", "schedulers", "stages"):
        assert len(getattr(session, group)) == 0
    assert session.progress.epoch == 1
    assert len(session.history) == 1
    first = load_session("run", only=["models"], checkpoint="0").models["net"].state_dict()
    net = session.models["net"].state_dict()
    assert not all(torch.equal(net[name], first[name]) for name in net)
    with pytest.raises(SessionError, match="only a part of run was loaded"):
        session.train()


def test_a_group_that_is_none_is_told() -> None:
    create_session(config())
    with pytest.raises(ConfigError, match=r'"only" cannot be "model"; did you mean "models"\?'):
        load_session("run", only=["model"])
    with pytest.raises(ConfigError, match='"only" cannot be "optimizers"'):
        load_session("run", only=["optimizers"])


def test_metrics_are_measured_without_losses(folder: Path) -> None:
    trained_with_a_lost_loss(folder)
    with pytest.raises((ConfigError, UserCodeError), match="lost"):
        evaluate_config("run")
    measured = evaluate_config("run", weights_only=True, device="cpu")
    row = load_session("run", only=["models"]).history.iloc[-1]
    assert measured == {"error": row["error"]}


def test_without_metrics_there_is_nothing_to_measure() -> None:
    plain = config()
    del plain["initialize"]["pipelines"]["check"]["metrics"]
    create_session(plain)
    with pytest.raises(ConfigError, match='nothing to measure in "check"'):
        evaluate_config("run", weights_only=True)


def test_the_commands_take_a_device(command: Command, folder: Path) -> None:
    write(folder / "config.json", config())
    create_session(config()).train()
    done = command("evaluate.py", "run", "--weights-only", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{\n  "error"')
    failed = command("evaluate.py", "run", "--device", "gpu")
    assert failed.returncode == 2
    assert "must be auto, cpu, mps, cuda or cuda:N; found 'gpu'" in failed.stderr
