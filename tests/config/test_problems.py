"""What is wrong with a config is told: all of it, with its place and what to write instead."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from torchassistant import config as language
from torchassistant.errors import ConfigError

Config = dict[str, Any]
Change = Callable[[Config], object]


def spec_of(config: Config, name: str) -> Config:
    """The spec of the definition of a name."""
    (found,) = [d["spec"] for d in config["initialize"]["definitions"] if d["name"] == name]
    return found


def fit(config: Config) -> Config:
    return config["initialize"]["pipelines"]["fit"]


def stage(config: Config) -> Config:
    return config["train"]["stages"][0]


def define(config: Config, group: str, name: str, spec: Config) -> None:
    config["initialize"]["definitions"].append({"group": group, "name": name, "spec": spec})


def add_pipeline(config: Config, name: str, **changes: Any) -> None:
    config["initialize"]["pipelines"][name] = {**copy.deepcopy(fit(config)), **changes}


def problems_of(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        language.load(config)
    return [f"{problem.place.path}: {problem.message}" for problem in caught.value.problems]


def test_a_right_config_is_accepted(config: Config) -> None:
    language.load(config)


MISTAKES: dict[str, tuple[Change, str, str]] = {
    "unknown key": (
        lambda c: c.update(sed=1),
        "sed",
        'unknown key "sed"; did you mean "seed"?',
    ),
    "unknown key deep down": (
        lambda c: spec_of(c, "adam").update(kwarg={}),
        "initialize.definitions[6].spec.kwarg",
        'unknown key "kwarg"; did you mean "kwargs"?',
    ),
    "unknown group": (
        lambda c: c["initialize"]["definitions"][5].update(group="model"),
        "initialize.definitions[5]",
        'unknown group "model"; did you mean "models"?',
    ),
    "missing key": (
        lambda c: spec_of(c, "adam").pop("model"),
        "initialize.definitions[6].spec.model",
        'the key "model" is missing',
    ),
    "wrong type": (
        lambda c: fit(c).update(losses={"a": 1}),
        "initialize.pipelines.fit.losses",
        "expected a list, found an object of 1",
    ),
    "text where a number is": (
        lambda c: c.update(seed="7"),
        "seed",
        'expected a whole number, found "7"',
    ),
    "what fits neither of two forms": (
        lambda c: stage(c).update(eval_steps=-3),
        "train.stages[0].eval_steps",
        "expected greater than 0 or an object, found -3",
    ),
    "a folder's name with a null byte": (
        lambda c: c.update(session_dir="a\0b"),
        "session_dir",
        "found",
    ),
    "a display name with a line break": (
        lambda c: fit(c)["losses"][0].update(loss_display_name="a\nb"),
        "initialize.pipelines.fit.losses[0].loss_display_name",
        "a display name holds no control characters",
    ),
    "no source": (
        lambda c: spec_of(c, "net").pop("class"),
        "initialize.definitions[5].spec",
        'one of "class", "factory_fn", "part_of" and "average_of" is needed',
    ),
    "ratio": (
        lambda c: spec_of(c, "parts").update(ratio=[0.5, 0.2]),
        "initialize.definitions[1].spec",
        "the shares must add up to 1; they add up to 0.7",
    ),
    "undefined model": (
        lambda c: spec_of(c, "adam").update(model="ned"),
        "initialize.definitions[6].spec.model",
        'no model is named "ned"; did you mean "net"?',
    ),
    "undefined slice": (
        lambda c: spec_of(c, "scale").update(fit="parts.trian"),
        "initialize.definitions[2].spec.fit",
        'no dataset or slice is named "parts.trian"; did you mean "parts.train"?',
    ),
    "slice that the split lacks": (
        lambda c: spec_of(c, "scale").update(fit="parts.test"),
        "initialize.definitions[2].spec.fit",
        'the split "parts" has 2 slices: "parts.train", "parts.val"; found \'parts.test\'',
    ),
    "twice in one group": (
        lambda c: define(c, "models", "net", {"class": "pkg.Other"}),
        "initialize.definitions[10].name",
        '"net" is defined twice in the group "models"',
    ),
    "one file on some systems": (
        lambda c: define(c, "models", "Net", {"class": "pkg.Other"}),
        "initialize.definitions[10].name",
        '"Net" and "net" would be one file on some systems',
    ),
    "a name that is a path": (
        lambda c: define(c, "models", "../net", {"class": "pkg.Other"}),
        "initialize.definitions[10].name",
        "\"../net\" cannot be a name, as files are named by it: it holds '/'",
    ),
    "a circle": (
        lambda c: c["initialize"]["definitions"][0].update(spec={"link": "training"}),
        "initialize.definitions",
        "these definitions form a cycle",
    ),
    "another model's optimizer": (
        lambda c: (
            define(c, "models", "other", {"class": "pkg.Net"}),
            spec_of(c, "adam").update(model="other"),
        ),
        "initialize.definitions[8].spec.neural_graph[0].optimizer_name",
        'the optimizer "adam" is for the model "other", and this node runs "net"',
    ),
    "two nodes of one name": (
        lambda c: spec_of(c, "processor")["neural_graph"].append(
            {"model_name": "net", "inputs": ["x"], "outputs": ["z"]}
        ),
        "initialize.definitions[8].spec.neural_graph[1]",
        'two nodes are named "net"',
    ),
    "outputs that clash": (
        lambda c: spec_of(c, "processor")["neural_graph"].append(
            {"model_name": "net", "inputs": ["x"], "outputs": ["y_hat"], "name": "again"}
        ),
        "initialize.definitions[8].spec.neural_graph[1].outputs[0]",
        '"y_hat" is already an output of the node "net"',
    ),
    "an edge from nowhere": (
        lambda c: spec_of(c, "graph")["ingoing_edges"].update(processor=["port", "prot"]),
        "initialize.definitions[9].spec.ingoing_edges.processor[1]",
        '"prot" is neither a port nor a node of this graph; did you mean "port"?',
    ),
    "an edge to nowhere": (
        lambda c: spec_of(c, "graph")["ingoing_edges"].update(procesor=["port"]),
        "initialize.definitions[9].spec.ingoing_edges.procesor",
        '"procesor" is not a node of this graph; did you mean "processor"?',
    ),
    "a node that nothing feeds": (
        lambda c: (
            define(c, "batch_processors", "second", copy.deepcopy(spec_of(c, "processor"))),
            spec_of(c, "graph")["nodes"].append("second"),
        ),
        "initialize.definitions[9].spec.nodes[1]",
        'no edge leads to "second"',
    ),
    "a port that feeds nothing": (
        lambda c: spec_of(c, "graph")["input_aliases"].append("spare"),
        "initialize.definitions[9].spec.input_aliases[1]",
        'the port "spare" feeds nothing',
    ),
    "a circle of processors": (
        lambda c: (
            define(c, "batch_processors", "second", copy.deepcopy(spec_of(c, "processor"))),
            spec_of(c, "graph")["nodes"].append("second"),
            spec_of(c, "graph")["ingoing_edges"].update(
                processor=["port", "second"], second=["processor"]
            ),
        ),
        "initialize.definitions[9].spec.ingoing_edges",
        "these nodes form a cycle",
    ),
    "a port that is not there": (
        lambda c: fit(c)["input_factories"][0].update(input_alias="prot"),
        "initialize.pipelines.fit.input_factories[0].input_alias",
        'the graph has no port "prot"; did you mean "port"?',
    ),
    "a port fed twice": (
        lambda c: fit(c)["input_factories"].append(dict(fit(c)["input_factories"][0])),
        "initialize.pipelines.fit.input_factories[1].input_alias",
        'the port "port" is fed twice',
    ),
    "a loss on a node that is not in the graph": (
        lambda c: fit(c)["losses"][0].update(node_name="procesor"),
        "initialize.pipelines.fit.losses[0].node_name",
        'the graph has no node "procesor"; did you mean "processor"?',
    ),
    "an undefined metric": (
        lambda c: fit(c).update(metrics=[{"metric_name": "acc"}]),
        "initialize.pipelines.fit.metrics[0].metric_name",
        'no metric is named "acc"',
    ),
    "a display name twice": (
        lambda c: fit(c)["losses"].append({"loss_name": "mse"}),
        "initialize.pipelines.fit.losses[1].loss_name",
        '"mse" is shown twice by this pipeline',
    ),
    "a display name that is a column": (
        lambda c: fit(c)["losses"][0].update(loss_display_name="epoch"),
        "initialize.pipelines.fit.losses[0].loss_display_name",
        '"epoch" is a column of the history already',
    ),
    "an undefined pipeline": (
        lambda c: stage(c).update(validation_pipelines=["fitt"]),
        "train.stages[0].validation_pipelines[0]",
        'no pipeline is named "fitt"; did you mean "fit"?',
    ),
    "a pipeline without a loss": (
        lambda c: fit(c).update(losses=[]),
        "train.stages[0].training_pipelines",
        'the pipeline "fit" has no loss, so it cannot be trained',
    ),
    "a pipeline without an optimizer": (
        lambda c: spec_of(c, "processor")["neural_graph"][0].pop("optimizer_name"),
        "train.stages[0].training_pipelines",
        'no node of the pipeline "fit" has an optimizer, so it trains nothing',
    ),
    "two validation pipelines with one display name": (
        lambda c: (
            add_pipeline(c, "check"),
            stage(c).update(validation_pipelines=["fit", "check"]),
        ),
        "initialize.pipelines.check.losses[0].loss_name",
        '"mse" is shown by "fit" and by "check" in one stage; give one another display name',
    ),
    "a model on two devices": (
        lambda c: define(
            c,
            "batch_processors",
            "second",
            {**copy.deepcopy(spec_of(c, "processor")), "device": "cuda:1"},
        ),
        "initialize.definitions[10].spec.neural_graph[0].model_name",
        'the model "net" would be on two devices: cuda:1 here, auto in "processor"',
    ),
    "an undefined debug pipeline": (
        lambda c: stage(c).update(debug_pipelines=["look"]),
        "train.stages[0].debug_pipelines[0]",
        'no debug pipeline is named "look"',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(config: Config, mistake: str) -> None:
    change, path, sentence = MISTAKES[mistake]
    change(config)
    (problem,) = problems_of(config)
    assert problem.startswith(path)
    assert sentence in problem


def test_several_mistakes_are_told_together_in_file_order(config: Config, tmp_path: Path) -> None:
    spec_of(config, "adam")["model"] = "ned"
    fit(config)["losses"][0]["loss_name"] = "msee"
    stage(config)["training_pipelines"] = ["fti"]
    path = tmp_path / "c.json"
    path.write_text(json.dumps(config, indent=1))
    with pytest.raises(ConfigError) as caught:
        language.load(path)
    lines = [problem.place.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    named = ["ned", "msee", "fti"]
    assert [name in str(p) for name, p in zip(named, caught.value.problems, strict=True)] == [
        True
    ] * 3


def test_a_config_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("[]")
    with pytest.raises(ConfigError, match="a config is one object"):
        language.load(path)
