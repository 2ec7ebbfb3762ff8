"""Inputs by keyword, outputs by key, and columns that are dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import (
    Config,
    Twin,
    assert_equal,
    batches_of,
    config,
    feed,
    graph,
    layer,
    loader,
    loss,
    made,
    node,
    one_model,
    part,
    stage,
    trained_by,
    weights,
)
from exact_parts import Indexed, Points
from exact_runs import Runs
from torch.nn.functional import mse_loss

from torchassistant import create_session
from torchassistant.config import unread_columns
from torchassistant.errors import ConfigError
from torchassistant.session import Draft

Table = dict[str, str] | list[str]
IN = {"input_ids": "x", "bias": "y"}


def named(
    inputs: Table = IN,  # type: ignore[assignment]
    outputs: Table | None = None,
    gives: str = "dict",
    error: Config | None = None,
    **more: Any,
) -> Config:
    """A model that is called by keyword, and gives its results by name."""
    run = {
        "model_name": "net",
        "inputs": inputs,
        "outputs": {"logits": "y_hat"} if outputs is None else outputs,
        "optimizer_name": "descent",
    }
    groups = {
        "models": {"net": made("named_parts.Transformer", gives)},
        "batch_processors": {"run": {"neural_graph": [{**run, **more.pop("node", {})}]}},
        "losses": {"error": error or {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        **more.pop("groups", {}),
    }
    return one_model(groups, **more)


def train(twin: Twin) -> None:
    """The same by hand."""
    net = twin.models["net"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y in batches_of(Points(10)):
            optimizer.zero_grad()
            result = net(x, bias=y)
            logits = result.logits if hasattr(result, "logits") else result["logits"]
            mse_loss(logits, y).backward()
            optimizer.step()


@pytest.mark.parametrize("gives", ["dict", "ModelOutput", "dataclass", "named tuple"])
def test_a_model_that_is_called_by_keyword_and_gives_names(tmp_path: Path, gives: str) -> None:
    twin = Twin(named(gives=gives), tmp_path)
    train(twin)
    twin.check()


def test_a_list_of_outputs_names_the_keys_of_a_dict(tmp_path: Path) -> None:
    error = {**made("MSELoss"), "inputs": ["logits", "y"]}
    twin = Twin(named(outputs=["logits"], error=error), tmp_path)
    train(twin)
    twin.check()


@pytest.mark.parametrize(
    "node", [{"activation_checkpointing": True}, {"compile": {"backend": "eager"}}]
)
def test_names_with_other_ways_to_call_a_model(tmp_path: Path, node: Config) -> None:
    twin = Twin(named(node=node), tmp_path)
    train(twin)
    twin.check()


ERRORS = {
    "torch": {**made("MSELoss"), "inputs": {"target": "y", "input": "y_hat"}},
    "a function": {
        "class": "named_parts.weighted_error",
        "inputs": {"wanted": "y", "found": "y_hat"},
    },
    "a module": {
        "class": "named_parts.CountedError",
        "inputs": {"found": "y_hat", "wanted": "y"},
    },
    "a transform": {
        **made("MSELoss"),
        "inputs": {"target": "y", "found": "y_hat"},
        "transform": "named_parts.swapped",
    },
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=list(ERRORS))
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_loss_by_keyword_is_the_loss_in_order(
    tmp_path: Path, error: Config, accumulated: int
) -> None:
    pipeline = {"gradient_accumulation": accumulated}
    one = create_session(named(error=error, pipeline=pipeline), session_dir=tmp_path / "one")
    two = create_session(named(pipeline=pipeline), session_dir=tmp_path / "two")
    for session in (one, two):
        session.train()
    assert_equal(weights(one.models), weights(two.models))


def test_metrics_by_keyword(tmp_path: Path) -> None:
    groups = {
        "metrics": {
            "own": {
                "class": "named_parts.LargestError",
                "inputs": {"wanted": "y", "found": "y_hat"},
            },
            "library": {"class": "MeanSquaredError", "inputs": {"preds": "y_hat", "target": "y"}},
            "function": {
                "class": "named_parts.weighted_error",
                "inputs": {"found": "y_hat", "wanted": "y"},
            },
        }
    }
    config = named(groups=groups)
    fit = config["initialize"]["pipelines"]["fit"]
    config["initialize"]["pipelines"]["check"] = {
        **fit,
        "losses": [loss("error", loss_display_name="val error")],
        "metrics": [{"metric_name": name} for name in groups["metrics"]],
    }
    session = create_session(config, session_dir=tmp_path / "session")
    results = session.evaluate(["check"])
    net = session.models["net"].eval()
    points = Points(10)
    x, y = points.x, points.y
    with torch.no_grad():
        found = net(x, bias=y)["logits"]
    assert results["own"] == pytest.approx(float((found - y).abs().max()))
    assert results["library"] == pytest.approx(float(mse_loss(found, y)))
    assert results["function"] == pytest.approx(float(mse_loss(found, y)))


def test_a_run_that_uses_names_can_be_cut(tmp_path: Path) -> None:
    error = ERRORS["a function"]
    Runs(named(error=error), tmp_path).check_cuts()


def problems_of(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Draft(config).preflight()
    return [str(problem.message) for problem in caught.value.problems]


def test_wrong_names_are_told() -> None:
    inputs = {"input_id": "x", "bias": "y"}
    (told,) = problems_of(named(inputs=inputs))
    assert told == 'Transformer.forward has no argument "input_id"; did you mean "input_ids"?'
    (told,) = problems_of(named(inputs={"input_ids": "x"}))
    assert told == 'Transformer.forward needs the argument "bias"'
    error = {**made("MSELoss"), "inputs": {"targets": "y", "input": "y_hat"}}
    (told,) = problems_of(named(error=error))
    assert told == 'MSELoss.forward has no argument "targets"; did you mean "target"?'
    (told,) = problems_of(named(outputs={"logit": "y_hat"}))
    assert '"logit", which "outputs" names, is not among them; did you mean "logits"?' in told
    (told,) = problems_of(named(gives="tuple"))
    assert "its model returned no dict, dataclass or named tuple; it returned tuple" in told


def test_a_wrong_parameter_is_told_where_it_stands() -> None:
    with pytest.raises(ConfigError) as caught:
        Draft(named(inputs={"input_id": "x", "bias": "y"})).preflight()
    (problem,) = caught.value.problems
    assert problem.place.path is not None
    assert problem.place.path.endswith("spec.neural_graph[0].inputs.input_id")


def test_an_unknown_column_of_a_table_is_told() -> None:
    (told,) = problems_of(named(inputs={"input_ids": "xx", "bias": "y"}))
    assert told.startswith('neither the frame nor an earlier node gives the input "xx"')
    error = {**made("MSELoss"), "inputs": {"target": "z", "input": "y_hat"}}
    (told,) = problems_of(named(error=error))
    assert told.startswith('the loss "error" needs the column "z"')


def dropping(columns: str, **more: Any) -> Config:
    return one_model({"datasets": {"points": part("Indexed", 10)}}, columns=columns, **more)


def test_unread_columns(tmp_path: Path) -> None:
    twin = Twin(dropping("x y _"), tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        for x, y, _index in batches_of(Indexed(10)):
            optimizer.zero_grad()
            mse_loss(net(x), y).backward()
            optimizer.step()
    twin.check()
    (frame,) = [next(iter(twin.session.pipelines["fit"].evaluation_data().frames(0)))["input"]]
    assert list(frame) == ["x", "y"]


def test_several_columns_can_be_dropped(tmp_path: Path) -> None:
    config = dropping("x _ _")
    config["initialize"]["definitions"] = [
        d | {"spec": {**d["spec"], "inputs": ["y_hat", "x"]}} if d["group"] == "losses" else d
        for d in config["initialize"]["definitions"]
    ]
    session = create_session(config, session_dir=tmp_path / "session", preflight=False)
    frame = next(iter(session.pipelines["fit"].evaluation_data().frames(0)))["input"]
    assert list(frame) == ["x"]
    assert unread_columns(session.spec) == {"_"}


def test_a_column_of_this_name_that_is_read_is_there(tmp_path: Path) -> None:
    groups = {
        "datasets": {"points": part("Indexed", 10)},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "_"]}},
    }
    config = one_model(groups, columns="x _ index")
    session = create_session(config, session_dir=tmp_path / "session")
    assert unread_columns(session.spec) == set()
    session.train()
    twice = json.loads(json.dumps(config))
    twice["initialize"]["pipelines"]["fit"]["input_factories"][0]["variable_names"][2] = "_"
    (told,) = problems_of(twice)
    assert told == 'the column "_" is named twice'


def test_two_loaders_each_drop_a_column(tmp_path: Path) -> None:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"points": part("Indexed", 10), "others": part("Indexed", 10)},
        "loader_factories": {"points": loader("points"), "others": loader("others")},
        "models": {"net": layer("Linear", 4, 1)},
        "optimizers": {"sgd": trained_by(made("SGD", lr=0.05), "net")},
        "losses": {"error": {**made("MSELoss"), "inputs": ["y_hat", "y"]}},
        "batch_processors": {"run": {"neural_graph": [node("net", "x", "y_hat", "sgd")]}},
        "batch_graphs": {"both": graph("one other", run="one other")},
    }
    feeds = [feed("points", "x _ _", "one"), feed("others", "_ y _", "other")]
    pipelines = {"fit": {"graph": "both", "input_factories": feeds, "losses": [loss("error")]}}
    create_session(
        config(groups, pipelines, stage("fit", epochs=1)), session_dir=tmp_path / "session"
    ).train()
