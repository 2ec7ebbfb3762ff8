"""Stages that have a name: where it is shown, and what it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_config import Command, Config, toy_config, write

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError


def named(*names: str | None, **changes: Any) -> Config:
    """The toy in several stages of two epochs; None has no name."""
    config = toy_config(**changes)
    (stage,) = config["train"]["stages"]
    ends = {"class": "EpochsCompleted", "kwargs": {"num_epochs": 2}}
    stages = [{**stage, "stop_condition": ends} for _ in names]
    for one, name in zip(stages, names, strict=True):
        if name is not None:
            one["name"] = name
    config["train"]["stages"] = stages
    return config


def test_the_history_says_names_and_indices(tmp_path: Path) -> None:
    session = create_session(named("warm", None), tmp_path / "run")
    session.train()
    assert list(session.history["stage"]) == ["warm", "warm", 1, 1]


def test_lines_of_progress_and_of_the_preflight(command: Command, tmp_path: Path) -> None:
    write(tmp_path / "training.json", named("warm", None))
    created = command("init.py", "training.json")
    assert 'stage 1 ("warm"): trains net' in created.stdout
    assert "stage 2: trains net" in created.stdout
    lines = [line for line in command("train.py", "run").stderr.splitlines() if "epoch " in line]
    assert lines[0].startswith("stage 1/2 (warm) epoch 1/2  ")
    assert lines[2].startswith("stage 2/2 epoch 1/2  ")


def test_a_name_is_a_stage_s_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='stage 1 is named "warm" already') as told:
        create_session(named("warm", None, "warm"), tmp_path / "run")
    assert [problem.place.path for problem in told.value.problems] == ["train.stages[2].name"]


def test_a_name_may_change(tmp_path: Path) -> None:
    create_session(named("warm", None), tmp_path / "run").train()
    session = load_session(tmp_path / "run", settings=["train.stages[0].name=first"])
    assert list(session.history["stage"]) == ["first", "first", 1, 1]


def test_messages_name_the_stage(tmp_path: Path) -> None:
    scheduler = {"class": "ReduceLROnPlateau", "monitor": "no such"}
    adam = {"class": "Adam", "model": "net", "lr_scheduler": scheduler}
    with pytest.raises(ConfigError, match=r'no row of stage 1 \("warm"\) has "no such"'):
        create_session(named("warm", adam=adam), tmp_path / "run")
