"""What may be left out is filled in where there is one choice."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

import pytest

from torchassistant import config as language
from torchassistant.config.blocks import Block
from torchassistant.config.spec import CheckpointsSpec
from torchassistant.errors import ConfigError

Config = dict[str, Any]


def without(config: Config, *groups: str) -> Config:
    initialize = config["initialize"]
    initialize["definitions"] = [d for d in initialize["definitions"] if d["group"] not in groups]
    return config


def test_a_completed_config_is_complete(config: Config) -> None:
    once = language.as_data(language.load(config))
    assert language.as_data(language.load(once)) == once


def blocks(kind: type[Block] = Block) -> Iterator[type[Block]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from blocks(inner)


def test_a_null_that_means_something_is_kept() -> None:
    """What a session is read from again says what the config said."""
    meaning = [
        (block, name, field.alias or name)
        for block in blocks()
        for name, field in block.model_fields.items()
        if not field.is_required()
        and field.default is not None
        and NoneType in get_args(field.annotation)
    ]
    assert (CheckpointsSpec, "max_failed_saves", "max_failed_saves") in meaning
    for block, name, alias in meaning:
        written = language.as_data(block.model_validate({alias: None}))
        assert getattr(block.model_validate(written), name) is None, (block, name)


def test_names_where_there_is_one_choice(config: Config) -> None:
    pipeline = config["initialize"]["pipelines"]["fit"]
    del pipeline["graph"], pipeline["losses"][0]["node_name"]
    del pipeline["input_factories"][0]["input_alias"]
    done = language.load(config).initialize.pipelines["fit"]
    assert done.graph == "graph"
    assert done.input_factories[0].input_alias == "port"
    assert done.losses[0].node_name == "processor"
    assert done.losses[0].loss_display_name == "mse"


def test_a_graph_of_the_only_processor(config: Config) -> None:
    del config["initialize"]["pipelines"]["fit"]["graph"]
    spec = language.load(without(config, "batch_graphs"))
    (graph,) = spec.group("batch_graphs").values()
    assert graph.nodes == ["processor"]
    assert graph.ingoing_edges == {"processor": ["port"]}


def test_a_processor_of_the_only_model(config: Config) -> None:
    pipeline = config["initialize"]["pipelines"]["fit"]
    del pipeline["graph"], pipeline["losses"][0]["node_name"]
    spec = language.load(without(config, "batch_graphs", "batch_processors"))
    (processor,) = spec.group("batch_processors").values()
    (node,) = processor.neural_graph
    assert (node.model_name, node.inputs, node.outputs) == ("net", ["x"], ["y_hat"])
    assert node.optimizer_name == "adam"


def test_columns_without_names_are_numbered(config: Config) -> None:
    pipeline = config["initialize"]["pipelines"]["fit"]
    del pipeline["graph"], pipeline["losses"][0]["node_name"]
    del pipeline["input_factories"][0]["variable_names"]
    spec = language.load(without(config, "batch_graphs", "batch_processors"))
    (processor,) = spec.group("batch_processors").values()
    assert processor.neural_graph[0].inputs == ["input_1"]


def test_edges_of_a_graph_of_one_node(config: Config) -> None:
    (graph,) = [d for d in config["initialize"]["definitions"] if d["group"] == "batch_graphs"]
    del graph["spec"]["ingoing_edges"]
    assert language.load(config).group("batch_graphs")["graph"].ingoing_edges == {
        "processor": ["port"]
    }


def test_where_several_fit_the_choices_are_named(config: Config) -> None:
    graphs = [d for d in config["initialize"]["definitions"] if d["group"] == "batch_graphs"]
    config["initialize"]["definitions"].append({**graphs[0], "name": "second"})
    del config["initialize"]["pipelines"]["fit"]["graph"]
    with pytest.raises(ConfigError, match=r'"graph" is needed.*"graph", "second"'):
        language.load(config)
