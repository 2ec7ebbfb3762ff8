"""Definitions as an object of groups, each an object of specs by name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_config import CONFIG

from torchassistant.config import as_data, explain_path, read, read_training, write_json
from torchassistant.config.groups import GROUPS

Config = dict[str, Any]
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCHEMA = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_group(config: Config = CONFIG) -> Config:
    """The same config, its definitions by group and name."""
    config = copy.deepcopy(config)
    groups: Config = {}
    for one in config["initialize"]["definitions"]:
        groups.setdefault(one["group"], {})[one["name"]] = one["spec"]
    config["initialize"]["definitions"] = groups
    return config


def in_order() -> Config:
    """The small config, its definitions in the order of their groups."""
    config = copy.deepcopy(CONFIG)
    groups = list(by_group()["initialize"]["definitions"])
    config["initialize"]["definitions"].sort(key=lambda one: groups.index(one["group"]))
    return config


def told(config: Any, *settings: str) -> list[str]:
    return [str(found) for found in read_training(config, settings).diagnostics.in_order()]


def test_it_is_the_same_config() -> None:
    assert told(by_group()) == []
    assert read_training(by_group()).spec == read_training(in_order()).spec
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(by_group())
    config = by_group()
    config["initialize"]["definitions"]["models"]["net"]["clas"] = "x"
    (error,) = validator.iter_errors(config)
    assert error.json_path == "$.initialize.definitions.models.net"
    assert read(by_group() | {"initialize": {"definitions": {}}}).tree["initialize"] == {
        "definitions": []
    }


def test_settings_includes_and_likenesses() -> None:
    config = by_group()
    definitions = config["initialize"]["definitions"]
    definitions["loader_factories"] |= {"others": {"like": "batches", "dataset": "parts.val"}}
    definitions["data_loaders"] = {"more": {"like": "others", "kwargs": {"batch_size": 3}}}
    Path("base.json").write_text(json.dumps(config, indent=1))
    over: Config = {"optimizers": {"adam": {"kwargs": {"lr": 0.5}}}}
    top = {"$include": ["base.json"], "initialize": {"definitions": over}}
    Path("top.json").write_text(json.dumps(top, indent=1))
    settings = ("batches.kwargs.batch_size=7", "models.net.kwargs.width=3", "more.like=batches")
    rows = {
        row["name"]: row for row in read("top.json", settings).tree["initialize"]["definitions"]
    }
    assert rows["adam"]["spec"] == {"class": "Adam", "model": "net", "kwargs": {"lr": 0.5}}
    assert rows["net"]["spec"]["kwargs"] == {"width": 3}
    assert rows["others"]["spec"] == {"dataset": "parts.val", "kwargs": {"batch_size": 7}}
    assert rows["more"]["group"] == "loader_factories"
    assert rows["more"]["spec"] == {"dataset": "training", "kwargs": {"batch_size": 3}}
    (found,) = explain_path("top.json", "adam.kwargs.lr").values
    assert found.path == "initialize.definitions[7].spec.kwargs.lr"
    assert [str(origin.place).partition(":")[0] for origin in found.origins] == [
        "top.json",
        "base.json",
    ]
    definitions["batch_processors"]["processor"]["neural_graph"] = []
    definitions["batch_processors"]["twin"] = {"like": "processor", "device": "cpu"}
    tree = read(config, ["twin.neural_graph[0]={model_name: net}"]).tree
    graphs = {r["name"]: r["spec"].get("neural_graph") for r in tree["initialize"]["definitions"]}
    assert (graphs["processor"], graphs["twin"]) == ([], [{"model_name": "net"}])


def test_mistakes_have_their_places() -> None:
    config = by_group()
    definitions = config["initialize"]["definitions"]
    definitions["modls"] = {"twin": {"class": "pkg.Twin"}}
    definitions["losses"]["mse"]["inputs"] = 7
    definitions["splits"] = []
    definitions["things"] = {"x": {}}
    definitions["collators"] = {"": {"class": "pkg.Pad"}}
    text = json.dumps(config, indent=1)
    Path("c.json").write_text(text)
    lines = text.splitlines()
    found = {
        lines[problem.place.line - 1].strip(): problem.message
        for problem in read_training("c.json").diagnostics.in_order()
    }
    assert found == {
        '"inputs": 7': "expected a list, found 7",
        '"modls": {': 'unknown group "modls"; did you mean "models"?',
        '"splits": [],': "expected an object: the definitions of this group by name",
        '"things": {': found['"things": {'],
        '"": {': "expected a string that is not empty",
    }
    assert found['"things": {'].startswith('unknown group "things"; there are "datasets"')


def test_callbacks_are_a_section_or_a_group() -> None:
    config = by_group()
    definitions = config["initialize"]["definitions"]
    definitions["callbacks"] = {"watch": {"class": "pkg.Watch"}}
    rows = read(config).tree["initialize"]["definitions"]
    assert rows[-1] == {"group": "callbacks", "name": "watch", "spec": {"class": "pkg.Watch"}}
    definitions["callbacks"] = rows[-1:]
    again = read(config).tree["initialize"]["definitions"]
    assert sorted(map(str, again)) == sorted(map(str, rows))


def test_an_example_is_said_in_40_lines() -> None:
    short, long = (EXAMPLES / "digits" / name for name in ("short.yaml", "training.json"))
    specs = [read_training(str(file)).spec for file in (short, long)]
    assert None not in specs
    assert write_json(as_data(specs[0])) == write_json(as_data(specs[1]))  # type: ignore[arg-type]
    lines = [line for line in short.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


def test_every_group_is_known_to_the_schema() -> None:
    definitions = SCHEMA["$defs"]["InitializeSpec"]["properties"]["definitions"]
    assert definitions["properties"].keys() >= GROUPS.keys()
