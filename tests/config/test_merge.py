"""One config laid over another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchassistant.config import merge_configs
from torchassistant.config.reader import read_text
from torchassistant.config.tree import place_of
from torchassistant.errors import ConfigError

keys = st.text("abcxyz", min_size=1, max_size=2)
values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)
tables = st.dictionaries(keys, values, max_size=4)


@given(tables)
def test_nothing_laid_over_changes_nothing(base: dict[str, Any]) -> None:
    assert merge_configs(base, {}) == base
    assert merge_configs({}, base) == base
    assert merge_configs(base, base) == base


@given(tables, tables)
def test_neither_is_changed(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = json.dumps([base, over])
    merge_configs(base, over)
    assert json.dumps([base, over]) == before


def test_objects_are_merged_key_by_key() -> None:
    base = {"a": {"x": 1, "y": {"z": 2}}, "b": 3}
    assert merge_configs(base, {"a": {"y": {"w": 4}}}) == {
        "a": {"x": 1, "y": {"z": 2, "w": 4}},
        "b": 3,
    }


def test_named_things_are_merged_by_name() -> None:
    base = {"list": [{"name": "a", "x": 1}, {"name": "b", "x": 2}]}
    over = {"list": [{"name": "b", "y": 3}, {"name": "c"}]}
    expected = [{"name": "a", "x": 1}, {"name": "b", "x": 2, "y": 3}, {"name": "c"}]
    assert merge_configs(base, over) == {"list": expected}


def test_a_plain_list_replaces() -> None:
    assert merge_configs({"l": [1, 2, 3]}, {"l": [4]}) == {"l": [4]}
    nodes = [{"model_name": "a"}, {"model_name": "b"}]
    assert merge_configs({"l": nodes}, {"l": [{"model_name": "c"}]}) == {"l": [{"model_name": "c"}]}


def test_the_group_tells_things_of_one_name_apart() -> None:
    base = [{"name": "net", "group": "models"}, {"name": "net", "group": "optimizers"}]
    over = [{"name": "net", "group": "optimizers", "spec": 1}]
    merged = merge_configs({"d": base}, {"d": over})["d"]
    assert merged == [base[0], {"name": "net", "group": "optimizers", "spec": 1}]
    with pytest.raises(ConfigError, match="several things have name 'net'"):
        merge_configs({"d": base}, {"d": [{"name": "net", "spec": 1}]})


def test_override_by_a_key() -> None:
    base = {"nodes": [{"model_name": "a", "inputs": ["x"]}, {"model_name": "b", "inputs": ["y"]}]}
    over = {
        "nodes": {
            "replace_strategy": "override",
            "override_key": ["model_name"],
            "options": [{"model_name": "b", "inputs": ["z"], "outputs": ["o"]}],
        }
    }
    assert merge_configs(base, over) == {
        "nodes": [
            {"model_name": "a", "inputs": ["x"]},
            {"model_name": "b", "inputs": ["z"], "outputs": ["o"]},
        ]
    }


def test_override_by_several_keys() -> None:
    base = {"l": [{"i": 1, "j": 2, "x": 0}, {"i": 2, "j": 1, "x": 1}]}
    options = [{"i": 2, "j": 1, "x": 42}]
    over = {"l": {"replace_strategy": "override", "override_key": ["i", "j"], "options": options}}
    assert merge_configs(base, over) == {"l": [{"i": 1, "j": 2, "x": 0}, {"i": 2, "j": 1, "x": 42}]}


def test_replace() -> None:
    base = {"o": {"x": 1}, "l": [{"name": "a"}]}
    over = {
        "o": {"replace_strategy": "replace", "options": {"y": 2}},
        "l": {"replace_strategy": "replace", "options": [{"name": "b"}]},
    }
    assert merge_configs(base, over) == {"o": {"y": 2}, "l": [{"name": "b"}]}


def test_another_kind_of_object_keeps_nothing_of_the_old() -> None:
    base = {"spec": {"class": "a.B", "args": [1], "kwargs": {"x": 1}, "model": "m"}}
    over = {"spec": {"factory_fn": "a.build", "kwargs": {"y": 2}}}
    expected = {"factory_fn": "a.build", "kwargs": {"y": 2}, "model": "m"}
    assert merge_configs(base, over) == {"spec": expected}
    another = merge_configs(base, {"spec": {"class": "a.C"}})["spec"]
    assert another == {"class": "a.C", "model": "m"}


@pytest.mark.parametrize(
    ("old", "new", "are_one"),
    [
        ("old.Net", "new.Net", False),
        ("old.Net", "old.Net", True),
        ("Adam", "SGD", False),
        ("Adam", "torch.optim.Adam", True),
        ("torch.optim.adam.Adam", "torch.optim.Adam", True),
        ("Adam", "mine.Adam", False),
        ("EpochsCompleted", "torchassistant.stop_conditions.EpochsCompleted", True),
    ],
)
def test_arguments_stay_with_what_they_are_for(old: str, new: str, are_one: bool) -> None:
    base = {"class": old, "args": [1], "kwargs": {"a": 1}, "inputs": ["x"]}
    merged = merge_configs(base, {"class": new, "kwargs": {"b": 2}})
    kept = {"args": [1], "kwargs": {"a": 1, "b": 2}} if are_one else {"kwargs": {"b": 2}}
    assert merged == {"class": new, **kept, "inputs": ["x"]}
    base = {"deep": {"x": {"factory_fn": old, "args": [1]}}}
    merged = merge_configs(base, {"deep": {"x": {"factory_fn": new}}})
    assert merged["deep"]["x"] == {"factory_fn": new, **({"args": [1]} if are_one else {})}


def test_definitions_that_are_overridden_keep_their_arguments() -> None:
    made = {"factory_fn": "a.f", "kwargs": {"x": 1}}
    base = {"initialize": {"definitions": [{"name": "d", "spec": {"input_adapter": made}}]}}
    option = {"name": "d", "spec": {"input_adapter": {"class": "a.B"}}}
    over = {"replace_strategy": "override", "override_key": ["name"], "options": [option]}
    merged = merge_configs(base, {"initialize": {"definitions": over}})
    (definition,) = merged["initialize"]["definitions"]
    assert definition["spec"]["input_adapter"] == {"class": "a.B", "kwargs": {"x": 1}}


def test_a_processor_of_nodes_and_one_of_a_class() -> None:
    nodes = {"neural_graph": [{"model_name": "a"}], "input_adapter": {"class": "A"}}
    made = {"class": "mine.P", "kwargs": {"x": 1}, "device": "cpu"}
    assert merge_configs(nodes, made) == made
    assert merge_configs(made, nodes) == {**nodes, "device": "cpu"}


def test_an_unknown_strategy_is_a_problem_with_its_place() -> None:
    over = read_text('{"l": {\n "replace_strategy": "merge", "options": []}}', "e.json")
    with pytest.raises(ConfigError, match=r"e\.json:2:22: l\.replace_strategy: .*found 'merge'"):
        merge_configs({"l": []}, over)


def test_what_is_laid_over_keeps_its_place() -> None:
    base = read_text('{"list": [{"name": "a",\n "x": 1}]}', "base.json")
    over = read_text('{"list": [\n\n{"name": "a", "y": 2}]}', "over.json")
    merged = merge_configs(base, over)
    assert str(place_of(merged, ("list", 0, "y"))) == "over.json:3:20: list[0].y"
    assert str(place_of(merged, ("list", 0, "x"))) == "base.json:2:7: list[0].x"
