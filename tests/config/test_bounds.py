"""Numbers that nothing takes, and names that are none, are told with their place."""

from __future__ import annotations

import contextlib
import copy
import operator
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from small_config import CONFIG

from torchassistant import config as language
from torchassistant.errors import ConfigError

Config = dict[str, Any]
Path = tuple[str | int, ...]


def problems_of(config: Config) -> list[str]:
    """What is wrong with a config."""
    diagnostics = language.read(config)
    language.spec_of(diagnostics)
    return [str(problem) for problem in diagnostics.in_order()]


def put(config: Config, path: Path, value: Any) -> Config:
    changed = copy.deepcopy(config)
    node: Any = changed
    for step in path[:-1]:
        node = node[step] if isinstance(node, list) else node.setdefault(step, {})
    node[path[-1]] = value
    return changed


def kwargs_of_the_loader(config: Config) -> Path:
    definitions = config["initialize"]["definitions"]
    (index,) = [i for i, d in enumerate(definitions) if d["name"] == "batches"]
    return ("initialize", "definitions", index, "spec", "kwargs")


VAST = [10**30, 2**63, 10**399]


@pytest.mark.parametrize("value", VAST)
@pytest.mark.parametrize("key", ["batch_size", "num_workers", "prefetch_factor", "timeout"])
def test_a_loader_with_a_vast_number(config: Config, key: str, value: int) -> None:
    path = kwargs_of_the_loader(config)
    (found,) = problems_of(put(config, path, {"num_workers": 1, key: value}))
    assert f".kwargs.{key}: expected" in found


def test_a_million_processes(config: Config) -> None:
    (found,) = problems_of(put(config, kwargs_of_the_loader(config), {"num_workers": 10**6}))
    assert "from 0 to 4096" in found


@pytest.mark.parametrize("value", VAST)
@pytest.mark.parametrize(
    "path",
    [
        ("seed",),
        ("checkpoints", "every_epochs"),
        ("checkpoints", "every_iterations"),
        ("checkpoints", "keep_last"),
        ("train", "stages", 0, "eval_steps"),
    ],
)
def test_a_vast_number(config: Config, path: Path, value: int) -> None:
    (found,) = problems_of(put(config, path, value))
    assert str(path[-1]) in found
    assert "expected" in found


@pytest.mark.parametrize("device", ["cuda:99999999999999", f"cuda:{'9' * 5000}", "cuda:1\n"])
def test_a_device_that_no_machine_has(config: Config, device: str) -> None:
    (found,) = problems_of(put(config, ("device",), device))
    assert found.startswith("device: expected")


@pytest.mark.parametrize("left_out", ["", "train"])
@pytest.mark.parametrize("table", ["pipelines", "debug_pipelines"])
def test_a_pipeline_without_a_name(config: Config, table: str, left_out: str) -> None:
    pipelines = config["initialize"]["pipelines"]
    pipeline = copy.deepcopy(next(iter(pipelines.values())))
    if table == "debug_pipelines":
        pipeline = {"input_factories": pipeline["input_factories"]}
    config["initialize"].setdefault(table, {})[""] = pipeline
    config.pop(left_out, None)
    assert [p for p in problems_of(config) if "a name was expected" in p]


def test_the_only_pipeline_without_a_name(config: Config) -> None:
    pipelines = config["initialize"]["pipelines"]
    config["initialize"]["pipelines"] = {"": next(iter(pipelines.values()))}
    del config["train"]
    assert "a name was expected" in problems_of(config)[0]


def paths_of(data: Any, path: Path = ()) -> list[Path]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    inner = [paths_of(v, (*path, k)) for k, v in items if isinstance(v, (dict, list))]
    return [*((*path, key) for key in (data if isinstance(data, dict) else range(len(data))))] + [
        one for found in inner for one in found
    ]


odd = st.sampled_from(
    [
        *(*VAST, -1, 0, True, None, 1.5, 1e308),
        *("", " ", "x", "a/b", "..", "\x1b[2J", "\u202e", "CON", "net", f"parts[{'9' * 20}]"),
        *([], {}, [[]], [None], [""], {"": 1}, {"class": ""}),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example([(("initialize", "definitions"), {"data": [], 0: 1})], [], set())
@example([(("initialize", "definitions"), {0: 10**30})], [], set())
@given(
    st.lists(st.tuples(st.sampled_from(paths_of(CONFIG)), odd), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(paths_of(CONFIG)), st.sampled_from(["", "x"])), max_size=1),
    st.sets(st.sampled_from(["train", "session_dir", "initialize"]), max_size=1),
)
def test_no_change_ends_in_another_error(
    values: list[tuple[Path, Any]], names: list[tuple[Path, str]], left_out: set[str]
) -> None:
    changed = copy.deepcopy(CONFIG)
    for path, drawn in values:
        value = copy.deepcopy(drawn)  # one object, put into itself, would be endless
        _change(changed, path, lambda node, key, value=value: operator.setitem(node, key, value))
    for path, name in names:
        _change(changed, path, lambda node, key, name=name: _rename(node, key, name))
    for key in left_out:
        changed.pop(key, None)
    with contextlib.suppress(ConfigError):
        problems_of(changed)


def _change(config: Any, path: Path, change: Any) -> None:
    try:
        for step in path[:-1]:
            config = config[step]
        change(config, path[-1])
    except (KeyError, IndexError, TypeError, AttributeError):
        return


def _rename(node: Any, key: Any, name: str) -> None:
    if isinstance(node, dict):
        node[name] = node.pop(key)


@pytest.mark.parametrize(
    ("folds", "fold", "told"),
    [
        (3, 2, []),
        (3, 3, ["the last of 3 is 2; found 3"]),
        (3, "x", ["a whole number"]),
        ("x", 3, ["a whole number"]),
        ("x", "y", ["a whole number", "a whole number"]),
        (1, 0, ["greater than or equal to 2"]),
        (2, -1, ["greater than or equal to 0"]),
    ],
)
def test_a_fold_is_one_of_the_folds(folds: Any, fold: Any, told: list[str]) -> None:
    config = copy.deepcopy(CONFIG)
    (split,) = (d["spec"] for d in config["initialize"]["definitions"] if d["group"] == "splits")
    del split["ratio"]
    split.update(folds=folds, fold=fold)
    found = problems_of(config)
    assert len(found) == len(told)
    assert all(text in problem for problem, text in zip(found, told, strict=True))


def test_a_device_is_no_config() -> None:
    if File("/dev/zero").exists():
        with pytest.raises(ConfigError, match="bytes"):
            language.read("/dev/zero")
