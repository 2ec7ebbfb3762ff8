"""Plain functions of the user in the place of objects that are only called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from exact_configs import Config, Twin, batches_of, graph, loss, made, node, one_model, stage
from exact_parts import Points
from exact_runs import Runs
from torch import Tensor, optim

from torchassistant import create_session
from torchassistant.errors import ConfigError

HERE = __name__
SHOWN: list[dict[str, Tensor]] = []


def doubled(frame: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**frame, "x": frame["x"] * 2}


def inputs(frame: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    return {"net": {"x": frame["x"] + 1}}


def halved(frame: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**frame, "y_hat": frame["y_hat"] / 2}


def rising(step: int, epoch: int) -> float:
    return 0.5 * step + epoch


def twice(epoch: int, history: Sequence[dict[str, Any]]) -> bool:
    return epoch == 2 and len(history) == 2


def negative(columns: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: -column for name, column in columns.items()}


def show(columns: dict[str, Tensor]) -> None:
    SHOWN.append(columns)


def functions() -> Config:
    groups = {
        "batch_processors": {
            "double": made(f"{HERE}.doubled"),
            "run": {
                "input_adapter": made(f"{HERE}.inputs"),
                "neural_graph": [node("net", "x", "y_hat", "descent")],
                "output_adapter": made(f"{HERE}.halved"),
            },
        },
        "batch_graphs": {"whole": graph("batch", double="batch", run="double")},
    }
    training = stage("fit")
    training["stop_condition"] = made(f"{HERE}.twice")
    weighted = loss("error", "run", weight=made(f"{HERE}.rising"))
    config = one_model(groups, training, pipeline={"losses": [weighted]})
    training["debug_pipelines"] = [
        {
            "input_factories": config["initialize"]["pipelines"]["fit"]["input_factories"],
            "interval": 4,
            "postprocessor": made(f"{HERE}.negative"),
            "output_device": made(f"{HERE}.show"),
        }
    ]
    return config


def test_functions_are_objects(tmp_path: Path) -> None:
    SHOWN.clear()
    twin = Twin(functions(), tmp_path)
    net = twin.models["net"]
    optimizer = optim.SGD(net.parameters(), lr=0.05)
    step = 0
    for epoch in (1, 2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            error = (net(x * 2 + 1) / 2 - y).square().mean()
            (error * (0.5 * step + epoch)).backward()
            optimizer.step()
            step += 1
    twin.check()
    assert len(SHOWN) == 1
    Runs(functions(), tmp_path).check_cuts([1, 4])


def test_a_function_with_arguments_makes_an_object(tmp_path: Path) -> None:
    config = functions()
    config["train"]["stages"][0]["stop_condition"] = made(f"{HERE}.twice", epoch=3)
    with pytest.raises(ConfigError, match="returns bool, which is not a stop condition"):
        create_session(config, session_dir=tmp_path / "session")
