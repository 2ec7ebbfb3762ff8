"""One batch of every pipeline is run before a session is created, and leaves no trace."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_config import Command, Config, toy_config, write

import torchassistant
from torchassistant.cli.tables import preflight_lines
from torchassistant.errors import ConfigError, UserCodeError
from torchassistant.session import Draft
from torchassistant.session.preflight import StageReport


def processor(**changes: Any) -> Config:
    node = {"model_name": "net", "inputs": ["x"], "outputs": ["y_hat"], "optimizer_name": "adam"}
    adapters = {key: changes.pop(key) for key in list(changes) if key.endswith("adapter")}
    return {"neural_graph": [{**node, **changes}], **adapters}


def test_it_reports_shapes_parameters_and_who_trains_what() -> None:
    report = Draft(toy_config(net={"class": "toys.Remembering"})).preflight()
    first, second = report.nodes
    assert (first.pipeline, first.processor, first.node) == ("fit", "processor", "net")
    assert first.inputs == ["x (8, 2) float32"]
    assert first.outputs == ["y_hat (8, 1) float32"]
    assert first.parameters == 2 * 4 + 4 + 4 + 4 + 4 + 1
    assert (first.optimizer, first.reached) == ("adam", True)
    assert (second.pipeline, second.reached) == ("check", None)
    assert report.batches == {"fit": 4, "check": 2}
    assert report.optimizers == {"adam": first.parameters}
    assert report.stages == [StageReport("stage 1", ["net"], [])]


def test_it_reports_the_groups_of_an_optimizer() -> None:
    adam = {
        "class": "AdamW",
        "model": "net",
        "kwargs": {"lr": 0.01},
        "parameters": [{"match": "first", "kwargs": {"lr": 0.001}}, {"match": "*.bias"}],
        "lr_scheduler": {"class": "StepLR", "kwargs": {"step_size": 1}, "warmup": {"steps": 2}},
    }
    adam["parameters"][1] |= {"name": "biases", "kwargs": {"weight_decay": 0}}
    report = Draft(toy_config(net={"class": "toys.TwoLayers"}, adam=adam)).preflight()
    assert list(preflight_lines(report))[-5:-1] == [
        "optimizer adam: 13 parameters",
        "  group first: 9 parameters, lr 0.001, weight_decay 0.01",
        "  group biases: 1 parameter, lr 0.01, weight_decay 0",
        "  group rest: 3 parameters, lr 0.01, weight_decay 0.01",
    ]


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (1, "1 iteration"),
        (2000, "2,000 iterations"),
        ("shortest", "as long as the shortest pass"),
        ("fit", "as long as the pass of fit"),
    ],
)
def test_it_reports_the_rate_of_an_optimizer_and_what_an_epoch_is(
    length: int | str, words: str
) -> None:
    config = toy_config(adam={"class": "Adam", "model": "net", "kwargs": {"lr": 0.02}})
    config["train"]["stages"][0]["epoch_length"] = length
    lines = list(preflight_lines(Draft(config).preflight()))
    assert any(line.endswith("parameters, lr 0.02, weight_decay 0") for line in lines)
    assert f"stage 1: an epoch is {words}" in lines


def test_what_an_optimizer_leaves_out_on_purpose_is_no_surprise() -> None:
    adam = {"class": "Adam", "model": "net", "parameters": [{"match": "first"}], "rest": False}
    report = Draft(toy_config(net={"class": "toys.TwoLayers"}, adam=adam)).preflight()
    assert report.warnings == []
    assert "  group first: 9 parameters, lr 0.001, weight_decay 0" in preflight_lines(report)


def state(session: torchassistant.session.Session) -> dict[str, Any]:
    net = session.models["net"]
    return {
        "weights": copy.deepcopy(net.state_dict()),
        "steps": net.steps.clone(),
        "calls": (net.calls, net.latest),
        "gradients": [p.grad for p in net.parameters()],
        "training": [part.training for part in net.modules()],
        "random": torch.get_rng_state(),
        "optimizer": copy.deepcopy(session.optimizers["adam"].state_dict()),
    }


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def test_all_state_is_put_back(tmp_path: Path) -> None:
    config = toy_config(net={"class": "toys.Remembering"})
    before = torch.get_rng_state()
    flown = torchassistant.create_session(config, tmp_path / "flown")
    assert torch.equal(torch.get_rng_state(), before)
    plain = torchassistant.create_session(config, tmp_path / "plain", preflight=False)
    assert same(state(flown), state(plain))
    assert flown.models["net"].calls == 0
    flown.train()
    plain.train()
    assert same(state(flown)["weights"], state(plain)["weights"])
    assert same(state(flown)["optimizer"], state(plain)["optimizer"])


MISMATCHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "an adapter that gives no x": (
        {"processor": processor(input_adapter={"class": "toys.NoX"})},
        "initialize.definitions[7].spec.neural_graph[0]",
        'needs the input "x"',
    ),
    "two outputs where one is named": (
        {"net": {"class": "toys.Doubled"}},
        "initialize.definitions[7].spec.neural_graph[0]",
        "names 1 outputs",
    ),
    "shapes that do not fit a layer": (
        {"net": {"class": "torch.nn.Linear", "args": [3, 1]}},
        "initialize.definitions[7].spec.neural_graph[0]",
        "it was called with x (8, 2) float32",
    ),
    "shapes that a loss would stretch": (
        {"net": {"class": "torch.nn.Linear", "args": [2, 3]}},
        "initialize.pipelines.fit.losses[0]",
        "broadcasts one of its inputs",
    ),
    "shapes that a loss refuses": (
        {"mse": {"class": "NLLLoss", "inputs": ["y_hat", "y"]}},
        "initialize.pipelines.fit.losses[0]",
        'the loss "mse"',
    ),
    "nothing to learn": (
        {"net": {"class": "toys.Detached"}},
        "initialize.pipelines.fit.losses",
        "do not depend on anything",
    ),
}


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_a_mismatch_is_a_problem_with_its_place(tmp_path: Path, mismatch: str) -> None:
    changes, path, sentence = MISMATCHES[mismatch]
    with pytest.raises(ConfigError) as caught:
        torchassistant.create_session(toy_config(**changes), tmp_path / "run")
    problem = caught.value.problems[0]
    assert problem.place.path == path
    assert sentence in problem.message
    assert list(tmp_path.iterdir()) == []


def test_every_pipeline_is_tried_and_all_are_told(tmp_path: Path) -> None:
    config = toy_config(net={"class": "torch.nn.Linear", "args": [3, 1]})
    with pytest.raises(ConfigError) as caught:
        torchassistant.create_session(config, tmp_path / "run")
    wholes = [problem.message for problem in caught.value.problems]
    assert 'the pipeline "fit"' in wholes[0]
    assert 'the evaluation of the pipeline "check"' in wholes[1]


def test_the_users_own_exception_is_the_users(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match='the node "net" of "processor", in the pipeline "fit"'):
        torchassistant.create_session(toy_config(net={"class": "toys.Raising"}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_trained_model_that_no_gradient_reaches_is_a_warning() -> None:
    config = toy_config(still=("models", {"class": "toys.Net"}))
    definitions = config["initialize"]["definitions"]
    sgd = {"class": "SGD", "model": "still", "kwargs": {"lr": 0.1}}
    definitions.append({"group": "optimizers", "name": "sgd", "spec": sgd})
    node = {"model_name": "still", "inputs": ["x"], "outputs": ["z"], "optimizer_name": "sgd"}
    definitions[7]["spec"]["neural_graph"].append(node)
    (warning,) = Draft(config).preflight().warnings
    assert 'no gradient reaches the node "still"' in warning.message
    assert warning.place.path.endswith("neural_graph[1]")


def test_the_commands(tmp_path: Path, command: Command) -> None:
    path = write(tmp_path / "c.json", toy_config())
    checked = command("-m", "torchassistant", "check", "--preflight", path)
    assert checked.returncode == 0, checked.stderr
    table, _, rest = checked.stdout.partition("\n\n")
    assert table.splitlines()[0].split() == [
        "pipeline", "node", "mode", "inputs", "outputs", "parameters", "optimizer", "gradient"
    ]  # fmt: skip
    assert "pipeline fit: 4 batches an epoch" in rest
    assert "stage 1: trains net" in rest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json"]
    made = command("init.py", path)
    assert made.stdout.startswith(table)
    bad = toy_config(net={"class": "torch.nn.Linear", "args": [3, 1]})
    bad["session_dir"] = "other"
    refused = command("init.py", write(tmp_path / "bad.json", bad))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "other").exists()
    assert command("init.py", "bad.json", "--no-preflight").returncode == 0
    assert json.loads((tmp_path / "other" / "spec.json").read_text())["seed"] == 5


PARAMETERLESS = {
    "without a layer": {"class": "toys.Same"},
    "with layers that have none": {"class": "toys.Pooled"},
    "of torch": {"class": "torch.nn.Sequential", "args": [{"class": "torch.nn.ReLU"}]},
}


@pytest.mark.parametrize("kind", PARAMETERLESS)
def test_a_model_without_parameters_is_not_said_to_be_untrained(kind: str) -> None:
    config = toy_config(same=("models", PARAMETERLESS[kind]))
    node = {"model_name": "same", "inputs": ["y_hat"], "outputs": ["same"]}
    config["initialize"]["definitions"][7]["spec"]["neural_graph"].append(node)
    draft = Draft(config)
    assert draft.warnings == []
    report = draft.preflight()
    assert [node.reached for node in report.nodes if node.node == "same"] == [None, None]
    assert report.stages == [StageReport("stage 1", ["net"], [])]
    assert report.warnings == []


@pytest.mark.parametrize(
    "model",
    [
        {"class": "toys.Net"},
        {"factory_fn": "toys.build_net"},
        {"class": "torch.nn.Sequential", "args": [{"class": "torch.nn.Linear", "args": [2, 2]}]},
        {"class": "torch.nn.LazyLinear", "args": [2]},
    ],
)
def test_a_model_that_may_have_parameters_is(model: Config) -> None:
    (warning,) = Draft(toy_config(still=("models", model))).warnings
    assert warning.message == 'no optimizer trains the model "still"'
