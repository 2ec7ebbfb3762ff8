"""Splits by folds, by classes and by groups, from config to session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import toy_config

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError


def created(path: Path, dataset: str = "toys.Points", **split: Any) -> Any:
    config = toy_config(points={"class": dataset}, parts={"dataset_name": "points", **split})
    return create_session(config, path)


def held_out(session: Any) -> list[int]:
    return session.splits["parts"].val.indices


def test_over_all_folds_each_example_is_validated_once(tmp_path: Path) -> None:
    sessions = [created(tmp_path / f"{fold}", folds=3, fold=fold) for fold in range(3)]
    held = [index for session in sessions for index in held_out(session)]
    assert sorted(held) == list(range(len(sessions[0].datasets["points"])))
    sessions[0].train()
    assert held_out(load_session(tmp_path / "0")) == held_out(sessions[0])
    assert held_out(created(tmp_path / "first", folds=3)) == held_out(sessions[0])


def test_another_fold_needs_consent(tmp_path: Path) -> None:
    session = created(tmp_path / "run", folds=4)
    session.train()
    with pytest.raises(ConfigError, match="fold"):
        load_session(tmp_path / "run", settings=["parts.fold=1"])


def test_the_shares_of_classes_and_whole_groups(tmp_path: Path) -> None:
    session = created(
        tmp_path / "run", "toys.Kinds", folds=4, fold=1, stratify="kind", group_by="group"
    )
    split = session.splits["parts"]
    groups = [{session.datasets["points"].group[i] for i in part.indices} for part in split.slices]
    assert not groups[0] & groups[1]
    kinds = torch.tensor([session.datasets["points"].kind[i] for i in split.val.indices])
    assert kinds.float().mean() == 0.5


def test_a_column_that_is_not_there_is_told_with_its_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='the split "parts": examples have no column 7'):
        created(tmp_path / "run", ratio=[0.5, 0.5], stratify=7)
