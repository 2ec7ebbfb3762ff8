"""Both spellings of the config mean the same."""

from __future__ import annotations

from typing import Any

import pytest

from torchassistant import config as language
from torchassistant.errors import ConfigError


def in_later_words(config: dict[str, Any]) -> dict[str, Any]:
    """The same config as later releases of the reference spell it."""
    initialize = config["initialize"]
    definitions = initialize["definitions"]
    for definition in definitions:
        if definition["group"] == "loader_factories":
            definition["group"] = "data_loaders"
        if definition["group"] == "batch_graphs":
            definition["spec"]["input_ports"] = definition["spec"].pop("input_aliases")
    initialize["definitions"] = {"data": definitions[:5], "computation": definitions[5:]}
    for pipeline in initialize["pipelines"].values():
        pipeline["input_injector"] = pipeline.pop("input_factories")
        for item in pipeline["input_injector"]:
            item["data_loader"] = item.pop("loader_factory")
            item["input_port"] = item.pop("input_alias")
    return config


def test_later_spelling_means_the_same(config: dict[str, Any]) -> None:
    ours = language.as_data(language.load(config))
    theirs = language.as_data(language.load(in_later_words(config)))
    assert theirs == ours


def test_node_alias_is_its_name(config: dict[str, Any]) -> None:
    node = config["initialize"]["definitions"][8]["spec"]["neural_graph"][0]
    node["alias"] = "first"
    spec = language.load(config)
    assert spec.group("batch_processors")["processor"].neural_graph[0].node_name == "first"


def test_inputs_meta_of_inference() -> None:
    diagnostics = language.read(
        {
            "session_dir": "s",
            "inputs_meta": [{"input_port": "p", "input_adapter": {"class": "a.B"}}],
        },
        block=language.InferenceSpec,
    )
    spec = language.validate(language.InferenceSpec, diagnostics.tree, diagnostics)
    assert spec is not None
    assert spec.inputs_meta[0].input_alias == "p"
    assert spec.inputs_meta[0].input_converter is not None


def test_the_postprocessor_has_one_name(config: dict[str, Any]) -> None:
    debug = {"input_factories": [{"loader_factory": "l"}], "post_processor": {"class": "a.B"}}
    config["initialize"]["debug_pipelines"] = {"named": debug}
    config["train"]["stages"][0]["debug_pipelines"] = [dict(debug)]
    inference = {"session_dir": "s", "post_processor": {"class": "a.B"}}
    assert language.split_overrides(language.InferenceSpec, ["post_processor.class=c"])[0]
    for tree in (
        language.read(inference, block=language.InferenceSpec).tree,
        language.read(config).tree["initialize"]["debug_pipelines"]["named"],
        language.read(config).tree["train"]["stages"][0]["debug_pipelines"][0],
    ):
        assert tree["postprocessor"] == {"class": "a.B"}
        assert "post_processor" not in tree


def test_the_earlier_postprocessor_gets_the_prediction() -> None:
    config = {"session_dir": "s", "post_processor": {}, "inputs_meta": [{}]}
    ours = {"session_dir": "s", "postprocessor": {}, "inputs_meta": [{}]}
    for given, expected in ((config, True), ({**config, "results": ["z"]}, False), (ours, False)):
        found = language.read(given, block=language.InferenceSpec)
        assert found.keeps_prediction is expected


def test_two_postprocessors_are_a_problem() -> None:
    both = {"session_dir": "s", "post_processor": {}, "postprocessor": {}}
    problems = language.read(both, block=language.InferenceSpec).problems
    assert [p.message for p in problems] == [
        '"post_processor" is another name for "postprocessor", which is given too'
    ]


def test_an_overlay_is_respelled_too() -> None:
    tree = language.read(
        {
            "session_dir": "s",
            "initialize": {
                "definitions": {
                    "replace_strategy": "override",
                    "options": [
                        {
                            "name": "graph",
                            "group": "batch_graphs",
                            "spec": {"input_ports": ["p"]},
                        }
                    ],
                },
                "pipelines": {"fit": {"input_injector": [{"data_loader": "other"}]}},
            },
        }
    ).tree
    options = tree["initialize"]["definitions"]["options"]
    assert options[0]["spec"] == {"input_aliases": ["p"]}
    assert tree["initialize"]["pipelines"]["fit"] == {
        "input_factories": [{"loader_factory": "other"}]
    }


def test_one_thing_under_both_names_is_a_problem(config: dict[str, Any]) -> None:
    config["initialize"]["pipelines"]["fit"]["input_injector"] = []
    with pytest.raises(ConfigError, match='"input_injector" is another name for "input_factories"'):
        language.load(config)


def laid_over(**parts: Any) -> Any:
    config = {"session_dir": "s", "initialize": {"definitions": parts}}
    return language.read(config, block=language.EvaluationSpec)


def test_parts_are_laid_over_as_one_list() -> None:
    first, second = {"name": "a", "spec": {}}, {"name": "b", "spec": {}}
    override = {"replace_strategy": "override", "override_key": ["name"]}
    found = laid_over(data={**override, "options": [first]}, computation=[second])
    assert found.tree["initialize"]["definitions"] == {**override, "options": [first, second]}
    assert not found.problems


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({"replace_strategy": "replace", "options": []}, 'laid over by "replace_strategy": "over'),
        (
            {"replace_strategy": "override", "override_key": ["group"], "options": []},
            'all parts need the same "override_key"',
        ),
    ],
)
def test_parts_are_not_laid_over_otherwise(second: Any, sentence: str) -> None:
    first = {"replace_strategy": "override", "override_key": ["name"], "options": []}
    (problem,) = laid_over(data=first, computation=second).problems
    assert sentence in problem.message


def test_the_converter_of_the_only_input() -> None:
    converter = {"class": "a.B"}
    config = {"session_dir": "s", "input_adapter": converter}
    tree = language.read(config, block=language.InferenceSpec).tree
    assert tree == {"session_dir": "s", "inputs_meta": [{"input_converter": converter}]}
    in_training = language.read(dict(config))
    assert in_training.tree["input_adapter"] == converter


def test_a_converter_beside_those_of_inputs_is_told_of() -> None:
    config = {"session_dir": "s", "input_adapter": {}, "inputs_meta": [{"input_converter": {}}]}
    found = language.read(config, block=language.InferenceSpec)
    assert "input_adapter" not in found.tree
    (warning,) = found.warnings
    assert '"input_adapter" has no effect' in warning.message


def test_metrics_without_a_path(config: dict[str, Any]) -> None:
    metric = {"class": "accuracy %", "inputs": ["y_hat", "y"]}
    config["initialize"]["definitions"].append({"group": "metrics", "name": "m", "spec": metric})
    spec = language.load(config)
    assert spec.group("metrics")["m"].class_ == "torchassistant.earlier.ArgmaxAccuracyPercent"


def test_definitions_that_had_no_use_are_left_out(config: dict[str, Any]) -> None:
    expected = language.as_data(language.load(config))
    adapter = {"group": "batch_adapters", "name": "adapter", "spec": {"class": "a.B"}}
    config["initialize"]["definitions"].insert(1, adapter)
    (warning,) = language.read(config).warnings
    assert '"batch_adapters" have no effect' in warning.message
    assert language.as_data(language.load(config)) == expected
