"""Data that is augmented: what a loop written by hand draws, and the same bits after any cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, batches_of, feed, fit, loss, made, one_model, stage
from midway_parts import jittered
from test_mid_epoch_is_exact import MORE_WORKERS, REGRESSOR, Runs
from torch import Tensor
from torch.utils.data import TensorDataset

JITTERED = {"class": "midway_parts.jittered"}
MIXED = {"class": "midway_parts.Mixed", "columns": [0, 1], "on": "batches"}
AUGMENT: list[Config] = [JITTERED, MIXED, {**MIXED, "on": "examples"}]
COLUMNS = made(
    "torch.utils.data.TensorDataset", made("torch.ones", 10, 4), made("torch.ones", 10, 1)
)


def augmented(augment: Any, dataset: Config | None = None, **kwargs: Any) -> Config:
    """Training that augments, and validation by the same loader factory."""
    factory = {"dataset": "points", "kwargs": {"batch_size": 4, **kwargs}, "augment": augment}
    groups = {
        "loader_factories": {"batches": factory},
        "models": {"net": REGRESSOR},
        **({"datasets": {"points": dataset}} if dataset else {}),
    }
    check = {
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", loss_display_name="held out")],
    }
    return one_model(groups, stage("fit", epochs=2, validation=["check"]), check=check)


@pytest.mark.parametrize("on", ["examples", "batches"])
@pytest.mark.parametrize("columns", [True, False])
def test_as_in_a_loop_written_by_hand(tmp_path: Path, on: str, columns: bool) -> None:
    """Batches that are cut from columns, and batches of examples."""
    config = augmented({**JITTERED, "on": on}, COLUMNS if columns else None, shuffle=False)
    config["initialize"]["definitions"] = [
        d for d in config["initialize"]["definitions"] if d["name"] != "net"
    ] + [{"group": "models", "name": "net", "spec": made("exact_parts.Regressor")}]
    del config["initialize"]["pipelines"]["check"]
    config["train"]["stages"][0]["validation_pipelines"] = []
    twin = Twin(config, tmp_path)
    net, data = twin.models["net"], twin.session.datasets["points"]

    def collate(examples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        given = [(jittered(x) if on == "examples" else x, y) for x, y in examples]
        xs, ys = (torch.stack(column) for column in zip(*given, strict=True))
        return jittered(xs) if on == "batches" else xs, ys

    assert isinstance(data, TensorDataset) == columns
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    fit(net, optimizer, batches_of(data, collate_fn=collate))
    twin.check()


@pytest.mark.parametrize("workers", MORE_WORKERS)
def test_a_cut_at_every_iteration(tmp_path: Path, workers: int) -> None:
    runs = Runs(augmented(AUGMENT, num_workers=workers), tmp_path)
    assert runs.steps == 6
    runs.check_cuts()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [AUGMENT, MIXED], ids=["examples too", "batches"])
def test_a_cut_at_every_iteration_of_one_run(tmp_path: Path, workers: int, augment: Any) -> None:
    """The second of them cuts its batches from columns."""
    Runs(augmented(augment, COLUMNS, num_workers=workers), tmp_path).check_all_cuts_in_one()


def test_a_cut_in_validation(tmp_path: Path) -> None:
    Runs(augmented(AUGMENT), tmp_path).check_cuts_in_validation(4)


def test_the_number_of_workers_changes_no_bit(tmp_path: Path) -> None:
    """Where there are some."""
    ends = []
    for workers in (1, "auto"):
        runs = Runs(augmented(AUGMENT, num_workers=workers), tmp_path / str(workers))
        ends.append((runs.plain / "metrics" / "0.csv").read_text())
    assert [row.rsplit(",", 1)[0] for row in ends[0].splitlines()] == [
        row.rsplit(",", 1)[0] for row in ends[1].splitlines()
    ]
