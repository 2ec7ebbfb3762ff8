"""Data without an end: an epoch is a number of iterations, and the pass goes on over the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, feed, made, one_model, stage
from exact_runs import Runs
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import SGD
from torch.utils.data import IterableDataset

from torchassistant import create_session


class Waves(IterableDataset[tuple[Tensor, Tensor]]):
    """Points without an end, or as many as are asked for; it says where it is.

    Args:
        count: How many a pass has; None is without an end.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count
        self.position = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        given = 0
        while self.count is None or given < self.count:
            x = torch.tensor([0.1, 0.2, 0.3, 0.4]).mul(self.position + 1).sin()
            self.position += 1
            given += 1
            yield x, x.sum(0, keepdim=True)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def endless(count: int | None = None, epochs: int = 3, workers: int = 0) -> Config:
    """The config: epochs of 4 iterations, each with its validation."""
    groups = {
        "datasets": {
            "stream": made("test_recipe_endless_data.Waves", count),
            "held out": made("test_recipe_endless_data.Waves", 12),
        },
        "loader_factories": {
            "batches": {
                "dataset": "stream",
                "kwargs": {"batch_size": 5, "num_workers": workers},
            },
            "held out": {"dataset": "held out", "kwargs": {"batch_size": 5}},
        },
    }
    check = {
        "input_factories": [feed("held out", "x y")],
        "losses": [{"loss_name": "error", "loss_display_name": "held out"}],
    }
    training = stage("fit", epochs=epochs, validation=["check"], epoch_length=4)
    whole = one_model(groups, training, check=check)
    definitions = whole["initialize"]["definitions"]
    definitions[:] = [d for d in definitions if d["name"] != "points"]
    return whole


def test_endless_data(tmp_path: Path) -> None:
    twin = Twin(endless(), tmp_path, preflight=False)
    net = twin.models["net"]
    optimizer = SGD(net.parameters(), lr=0.05)
    stream = iter(Waves())
    losses: list[float] = []
    for _ in range(3):
        met = []
        for _ in range(4):
            x, y = map(torch.stack, zip(*(next(stream) for _ in range(5)), strict=True))
            optimizer.zero_grad()
            loss = mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
            met.append(loss.item())
        losses.append(sum(value * 5 for value in met) / 20)
    twin.check()
    assert twin.session.history["error"].tolist() == losses
    assert twin.session.history["step"].tolist() == [4, 8, 12]
    assert twin.session.progress.passes == {"fit": 1}


@pytest.mark.parametrize("count", [None, 27], ids=["endless", "begins anew"])
def test_cuts(tmp_path: Path, count: int | None) -> None:
    """A stream that ends begins anew within an epoch; its state goes on."""
    Runs(endless(count), tmp_path).check_cuts()


@pytest.mark.slow
def test_cuts_with_a_worker(tmp_path: Path) -> None:
    Runs(endless(27, workers=1), tmp_path).check_all_cuts_in_one()


def test_a_stream_that_ends_begins_anew(tmp_path: Path) -> None:
    session = create_session(endless(27), session_dir=tmp_path / "run")
    session.train()
    assert session.progress.step == 12
    assert session.progress.passes == {"fit": 2}
