"""Models that objects of the user call by themselves are evaluated in eval mode, as all are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exact_configs import Config, config, feed, loader, loss, made, node, part, stage, trained_by

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError

PROCESSORS = ["closure", "holding", "in_a_list", "bound", "through_a_global"]
METRICS = ["metric", "updating_by_session", "updating_by_model"]


def calling(name: str) -> Config:
    """Something of ``calling_parts`` that is made with the session."""
    return {"factory_fn": f"calling_parts.{name}"}


def spec_of(kind: str) -> Config:
    """``mode`` is 1 where the model ``inner`` has run in train mode, and 0 where in eval mode."""
    run: Config = {"neural_graph": [node("net", "x", "y_hat", "descent")]}
    processors: dict[str, Config] = {"run": run}
    edges, metrics = {"run": ["in"]}, {"mode": {**made("MeanValue"), "inputs": ["noise"]}}
    net = made("torch.nn.Linear", 4, 1)
    scored: Config = {**made("MSELoss"), "inputs": ["y_hat", "y"]}
    if kind in PROCESSORS:
        processors = {"before": calling(kind), **processors}
        edges = {"before": ["in"], "run": ["before"]}
    elif kind == "adapter":
        run["neural_graph"].append(node("echo", "x", "noise"))
        run["input_adapter"] = calling("adapter")
    elif kind == "hiding":
        net, metrics = calling(kind), {"mode": {**made("MeanValue"), "inputs": ["y_hat"]}}
    elif kind == "loss":
        scored, metrics = {**calling("mode_as_loss"), "inputs": ["y_hat"]}, {}
    elif kind in METRICS:
        metrics = {"mode": {**calling(kind), "inputs": ["x"]}}
    groups = {
        "datasets": {"points": part("Points", 8)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "inner": made("calling_parts.Mode"),
            "echo": made("torch.nn.Identity"),
            "net": net,
        },
        "optimizers": {"descent": trained_by(made("SGD", lr=0.0), "net")},
        "losses": {"error": scored},
        "metrics": metrics,
        "batch_processors": processors,
        "batch_graphs": {
            "whole": {"nodes": list(edges), "input_aliases": ["in"], "ingoing_edges": edges}
        },
    }
    pipeline = {
        "graph": "whole",
        "input_factories": [feed("batches", "x y")],
        "losses": [loss("error", "run")],
        "metrics": [{"metric_name": name, "node_name": "run"} for name in metrics],
    }
    check = {**pipeline, "losses": [loss("error", "run", loss_display_name="val error")]}
    return config(
        groups, {"fit": pipeline, "check": check}, stage("fit", validation=["check"], epochs=1)
    )


@pytest.mark.parametrize("kind", [*PROCESSORS, "adapter", "hiding", "loss", *METRICS])
def test_in_validation_evaluation_and_training(tmp_path: Path, kind: str) -> None:
    session = create_session(spec_of(kind), session_dir=tmp_path / "session")
    session.train()
    assert session.models["inner"].training, "afterwards it is as it was"
    again = load_session(tmp_path / "session")
    row: Any = session.history.iloc[0]
    if kind == "loss":
        assert (row["error"], row["val error"]) == (1.0, 0.0)
        assert again.evaluate(["check"]) == {"val error": 0.0}
        return
    found = again.evaluate(["check"])["mode"]
    if kind == "hiding":  # a layer stands between: equal in both, as the hidden model gives 0
        bias = again.models["net"].layer.bias.item()  # type: ignore[union-attr]
        assert (row["mode"], found) == (pytest.approx(bias), pytest.approx(bias))
    else:
        assert (row["mode"], found) == (0.0, 0.0)


def test_a_stage_in_which_only_objects_run_trains_nothing(tmp_path: Path) -> None:
    spec = spec_of("closure")
    initialize = spec["initialize"]
    initialize["definitions"] = [
        d
        for d in initialize["definitions"]
        if d["group"] != "optimizers" and d["name"] not in ("run", "whole", "net")
    ]
    for pipeline in initialize["pipelines"].values():
        pipeline.pop("graph", None)
        for scored in (*pipeline["losses"], *pipeline["metrics"]):
            scored.pop("node_name", None)
    with pytest.raises(ConfigError) as raised:
        create_session(spec, session_dir=tmp_path / "session")
    assert [problem.message for problem in raised.value.problems] == [
        "no node of this stage has an optimizer, so it trains nothing"
    ]
