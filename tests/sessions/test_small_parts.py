"""Batch norm over a part of one row is told before training, where that is known."""

from __future__ import annotations

from typing import Any

import pytest
from toy_config import Config, toy_config

from torchassistant.session import Draft


def normed(batch: int, **distributed: Any) -> Config:
    """30 examples in batches of so many, cut as it is said."""
    layers = [
        {"class": "torch.nn.Linear", "args": [2, 4]},
        {"class": "torch.nn.BatchNorm1d", "args": [4]},
        {"class": "torch.nn.Linear", "args": [4, 1]},
    ]
    config = toy_config(
        net={"class": "torch.nn.Sequential", "args": layers},
        training={"dataset": "parts.train", "kwargs": {"batch_size": batch}},
    )
    return {**config, "distributed": distributed}


@pytest.mark.parametrize(("batch", "parts", "told"), [(9, 2, 3), (8, 2, None), (10, 6, 10)])
def test_parts_of_one_row_are_told(batch: int, parts: int, told: int | None) -> None:
    warnings = Draft(normed(batch, logical_ranks=parts)).preflight().warnings
    found = [problem for problem in warnings if "BatchNorm1d" in problem.message]
    assert len(found) == (told is not None)
    if told is not None:
        assert found[0].place.path == "initialize.pipelines.fit"
        assert f"a batch of {told} examples" in found[0].message
        assert '"sync_batch_norm"' in found[0].message
