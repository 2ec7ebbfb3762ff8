"""What objects keep that are no modules: each part of a batch goes on with its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, feed, loader, loss, made, node, one_model, part, stage
from exact_runs import Cut
from ranks import trained
from test_processes import assert_same
from torch import Tensor

from torchassistant import create_session, load_session
from torchassistant.errors import Interrupted
from torchassistant.parallel import Processes, World
from torchassistant.parallel.part_states import PartStates


@pytest.fixture(scope="module", autouse=True)
def _no_threads() -> None:
    torch.set_num_threads(1)


class Older:
    """An input adapter: a third of each row is what was there before, and is its state."""

    def __init__(self) -> None:
        self.before = torch.zeros(4)

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        given = []
        for row in frame["x"]:
            given.append((2 * row + self.before) / 3)
            self.before = row
        return {"net": {**frame, "x": torch.stack(given)}}

    def state_dict(self) -> dict[str, Tensor]:
        return {"before": self.before}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.before = state["before"]


def older(logical_ranks: int | None) -> Config:
    groups: dict[str, Any] = {
        "datasets": {"points": part("Points", 22)},
        "loader_factories": {"batches": loader("points", 4, shuffle=True)},
        "batch_processors": {
            "run": {
                "input_adapter": made(f"{__name__}.Older"),
                "neural_graph": [node("net", "x", "y_hat", "descent")],
            }
        },
    }
    val = {"input_factories": [feed("batches", "x y")], "losses": [loss("error")]}
    config = one_model(groups, stage("fit", epochs=2, validation=["val"]), val=val)
    return {**config, "distributed": {"logical_ranks": logical_ranks}}


def cut(session: Path, iteration: int) -> None:
    ending = Cut(iteration)
    with pytest.raises(Interrupted):
        load_session(session).train(ending, ending.stop)


def test_each_part_goes_on_with_its_own(tmp_path: Path) -> None:
    """By one process or two, and after a cut; the state of any part is stored."""
    create_session(older(2), session_dir=tmp_path / "new")
    paths = [Path(shutil.copytree(tmp_path / "new", tmp_path / name)) for name in ("1", "2", "3")]
    alone, together, interrupted = paths
    load_session(alone).train()
    assert_same(trained(2, together), alone)
    cut(interrupted, 4)
    assert_same(trained(2, interrupted), alone)
    kept = load_session(alone).batch_processors["run"].input_adapter
    assert kept.before.any()


class Count:
    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> int:
        return self.count

    def load_state_dict(self, count: int) -> None:
        self.count = count


def test_other_parts_share_what_was_kept() -> None:
    one = Count()
    states = PartStates({"a": one}, Processes(), World(Processes(), 3).own, {"a": [5, 7], "b": []})
    for at in range(3):
        states.start(at)
        one.count += 10
    assert states.whole == {"a": [5, 7]}
    states.settle()
    assert states.whole == {"a": [15, 17, 15]}
    assert one.count == 15
    states.start(1)
    assert one.count == 17
