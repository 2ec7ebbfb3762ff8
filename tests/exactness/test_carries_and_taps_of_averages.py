"""A model that runs in another's place is tapped, and carries its state, as that does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import loss, stage
from test_carrying import CONTIGUOUS, remembering, rows
from torch.nn.functional import mse_loss

from torchassistant import create_session


def test_an_average_in_the_place_of_its_model(tmp_path: Path) -> None:
    check = {
        "input_factories": [{"loader_factory": "batches", "variable_names": ["x", "y"]}],
        "losses": [
            loss("error", loss_display_name="val error"),
            loss("inner", loss_display_name="inner"),
        ],
        "models": {"net": "average"},
    }
    stages = stage("fit", validation=["check"])
    taps = {"taps": {"cell": "cell"}}
    config = remembering("Memory", taps, CONTIGUOUS, None, stages, check=check)
    config["initialize"]["definitions"] += [
        {"group": "models", "name": "average", "spec": {"average_of": "net", "decay": 0.5}},
        {
            "group": "losses",
            "name": "inner",
            "spec": {"class": "MSELoss", "inputs": ["cell", "next_state"]},
        },
    ]
    session = create_session(config, session_dir=tmp_path / "session")
    session.train()
    results = session.evaluate(["check"])
    net, state, errors, inner = session.models["average"].eval(), None, [], []
    assert not torch.equal(net.cell.weight, session.models["net"].cell.weight)
    with torch.no_grad():
        for x, y in rows():
            before = net.cell(torch.cat([x, x.new_zeros(4, 3) if state is None else state], 1))
            y_hat, state = net(x, state)
            errors.append(float(mse_loss(y_hat, y)))
            inner.append(float(mse_loss(before, state)))
    assert results["val error"] == pytest.approx(sum(errors) / len(errors))
    assert results["inner"] == pytest.approx(sum(inner) / len(inner))
