"""Parts and averages of models, wrongly used: each is told with its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from small_config import CONFIG

from torchassistant import config as language
from torchassistant.config.groups.models import is_average, is_part, origin_of, own_models, owner_of
from torchassistant.errors import ConfigError

Config = dict[str, Any]

NET = {"class": "pkg.Net"}
EMA = {"average_of": "net"}


def with_models(**models: Config) -> Config:
    config = copy.deepcopy(CONFIG)
    config["initialize"]["definitions"] += [
        {"group": "models", "name": name, "spec": spec} for name, spec in models.items()
    ]
    return config


def problems_of(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        language.load(config)
    return [f"{problem.place.path}: {problem.message}" for problem in caught.value.problems]


def path_of(config: Config, name: str) -> str:
    names = [one["name"] for one in config["initialize"]["definitions"]]
    return f"initialize.definitions[{names.index(name)}].spec"


def told(name: str, key: str, message: str, **models: Config) -> None:
    """This is the only problem, and it stands at this key of the model of a name."""
    config = with_models(**models)
    place = path_of(config, name)
    assert problems_of(config) == [f"{place}{key}: {message}"]


def test_right_ones_are_accepted() -> None:
    spec = language.load(
        with_models(
            ema={**EMA, "decay": 0.99, "first": "blend", "warmup": True},
            swa={**EMA, "kind": "swa", "interval": "epoch", "start": 2, "every": 3},
            head={"part_of": "net", "path": "fc"},
            deep={"part_of": "head", "path": "0"},
            ema_head={"part_of": "ema", "path": "fc"},
            head_ema={"average_of": "head"},
        )
    )
    models = spec.group("models")
    assert [n for n in models if is_average(n, models)] == ["ema", "swa", "ema_head", "head_ema"]
    assert owner_of("deep", models) == origin_of("ema_head", models) == "net"
    assert is_part("deep", "net", models) and not is_part("ema_head", "net", models)
    assert own_models(models) == ["net"]
    again = language.load(language.as_data(spec))
    assert language.as_data(again) == language.as_data(spec)


@pytest.mark.parametrize(
    ("spec", "key", "message"),
    [
        ({"average_of": "nett"}, ".average_of", 'no model is named "nett"; did you mean "net"?'),
        (
            {"part_of": "nett", "path": "a"},
            ".part_of",
            'no model is named "nett"; did you mean "net"?',
        ),
        ({"part_of": "net"}, "", '"path" is needed: which part it is'),
        ({**NET, "path": "fc"}, ".path", '"path" belongs to "part_of"'),
        ({**NET, "decay": 0.9}, ".decay", '"decay" belongs to "average_of"'),
        ({**EMA, "path": "fc"}, ".path", '"path" belongs to "part_of"'),
        ({**EMA, "kind": "swa", "decay": 0.9}, ".decay", '"decay" belongs to "kind": "ema"'),
        ({**EMA, "kind": "swa", "first": "copy"}, ".first", '"first" belongs to "kind": "ema"'),
        ({**EMA, "update_bn": False}, ".update_bn", '"update_bn" belongs to "kind": "swa"'),
        (
            {**EMA, "kind": "swa", "use_buffers": True, "update_bn": "fit"},
            ".update_bn",
            "the buffers are averaged, so that no statistics are recomputed",
        ),
        (
            {**EMA, "kind": "swa", "update_bn": "fitt"},
            ".update_bn",
            'no pipeline is named "fitt"; did you mean "fit"?',
        ),
        ({**EMA, "kwargs": {"a": 1}}, ".kwargs", '"kwargs" belongs to "class" or "factory_fn"'),
        (
            {**EMA, "memory_format": "channels_last"},
            ".memory_format",
            '"memory_format" belongs to "net", whose format this model has',
        ),
        (
            {**EMA, "compressed": [{"kind": "low_rank", "ranks": {}}]},
            ".compressed",
            '"compressed" belongs to "net", whose structure this model has',
        ),
        (
            {"part_of": "net", "path": "fc", "compressed": [{"kind": "int8", "axes": {}}]},
            ".compressed",
            '"compressed" belongs to "net", whose structure this model has',
        ),
        (
            {**EMA, **NET},
            ".class",
            'only one of "class", "factory_fn", "part_of" and "average_of" can be given; found '
            '"class" and "average_of"',
        ),
        ({**EMA, "kind": "sma"}, ".kind", "expected 'ema' or 'swa'; found 'sma'"),
    ],
)
def test_wrong_keys(spec: Config, key: str, message: str) -> None:
    config = with_models(other=spec)
    (problem,) = problems_of(config)
    place = path_of(config, "other")
    assert problem.startswith(f"{place}{key}: ")
    assert message in problem or key == ".kind"


def test_an_average_of_an_average() -> None:
    message = "is an average itself; an average is of a model that is trained"
    told("two", ".average_of", f'"ema" {message}', ema=EMA, two={"average_of": "ema"})
    told(
        "two",
        ".average_of",
        f'"head" {message}',
        ema=EMA,
        head={"part_of": "ema", "path": "fc"},
        two={"average_of": "head"},
    )


def test_one_of_itself() -> None:
    for spec in ({"average_of": "other"}, {"part_of": "other", "path": "fc"}):
        problems = problems_of(with_models(other=spec))
        assert any("form a cycle" in problem for problem in problems)


def test_an_average_that_something_trains() -> None:
    config = with_models(ema=EMA)
    (adam,) = [d["spec"] for d in config["initialize"]["definitions"] if d["name"] == "adam"]
    adam["model"] = "ema"
    place = path_of(config, "adam")
    message = 'the model "ema" is an average, and nothing else changes it'
    assert f"{place}.model: {message}" in problems_of(config)
    config = with_models(ema=EMA)
    clipper = {"model": ["net", "ema"], "clip_norm": 1.0}
    config["initialize"]["definitions"].append(
        {"group": "gradient_clippers", "name": "clip", "spec": clipper}
    )
    assert problems_of(config) == [f"{path_of(config, 'clip')}.model[1]: {message}"]


def test_buffers_of_an_average() -> None:
    config = with_models(ema=EMA)
    (graph,) = [d["spec"] for d in config["initialize"]["definitions"] if d["name"] == "processor"]
    graph["neural_graph"].append(
        {"model_name": "ema", "inputs": ["x"], "outputs": ["z"], "buffers": "move"}
    )
    (problem,) = problems_of(config)
    assert problem.endswith('the buffers of the average "ema" follow those of its model only')


def test_two_devices() -> None:
    config = with_models(ema=EMA)
    other = {
        "neural_graph": [{"model_name": "ema", "inputs": ["x"], "outputs": ["z"]}],
        "device": "cuda:1",
    }
    config["device"] = "cpu"
    config["initialize"]["definitions"].append(
        {"group": "batch_processors", "name": "other", "spec": other}
    )
    (problem,) = problems_of(config)
    assert 'the model "net" would be on two devices' in problem


def fit(config: Config) -> Config:
    return config["initialize"]["pipelines"]["fit"]


def test_models_of_pipelines() -> None:
    config = with_models(ema=EMA)
    check = copy.deepcopy(fit(config))
    config["initialize"]["pipelines"]["check"] = check
    check["models"] = {"net": "ema"}
    check["losses"][0]["loss_display_name"] = "val"
    config["train"]["stages"][0]["validation_pipelines"] = ["check"]
    language.load(config)

    check["models"] = {"net": "emma"}
    place = "initialize.pipelines.check.models"
    assert problems_of(config) == [f'{place}.net: no model is named "emma"; did you mean "ema"?']
    check["models"] = {"nett": "ema"}
    (problem,) = problems_of(config)
    message = 'neither the graph nor a loss runs a model "nett"; did you mean "net"?'
    assert problem == f"{place}.nett: {message}"
    check["models"] = {"net": "net"}
    (problem,) = problems_of(config)
    assert problem == f'{place}.net: "net" stands in its own place, so that this has no effect'
    check["models"] = {"net": "ema"}
    fit(config)["models"] = {"net": "ema"}
    (problem,) = problems_of(config)
    assert problem.startswith("initialize.pipelines.fit.models.net: an optimizer trains")


def test_statistics_through_a_pipeline_without_the_model() -> None:
    config = with_models(other=NET, swa={**EMA, "kind": "swa", "update_bn": "fit"})
    language.load(config)
    config = with_models(other=NET, swa={**EMA, "kind": "swa", "update_bn": "fit"})
    (graph,) = [d["spec"] for d in config["initialize"]["definitions"] if d["name"] == "processor"]
    graph["neural_graph"][0]["mode"] = "eval"
    (problem,) = problems_of(config)
    message = 'no node of the pipeline "fit" runs "net" in train mode, on data of its own'
    assert problem.endswith(message)
