"""Keys of metrics and evaluators that their source tells: wrong ones are told without importing."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
from small_config import CONFIG

from torchassistant.config import read_training
from torchassistant.config.source_inspection import class_texts, find_source

SOURCE = """
import torch.nn as nn

class Plain:
    columns = ("accuracy", "rank")

class Annotated:
    columns: list[str] = ["accuracy", "rank"]

class Derived(Plain, nn.Module):
    pass
"""
UNSURE = {
    "none": "class Own:\n    pass\n",
    "in the object": "class Own:\n    columns = ()\n    def a(self):\n        self.columns = ()\n",
    "from outside": "class Own:\n    columns = ('a',)\n\nOwn.columns = ('b',)\n",
    "by setattr": "class Own:\n    columns = ('a',)\n\nsetattr(Own, 'columns', ())\n",
    "a property": "class Own:\n    @property\n    def columns(self):\n        return ('a',)\n",
    "twice": "class Own:\n    columns = ('a',)\n    columns += ('b',)\n",
    "on a condition": "class Own:\n    if True:\n        columns = ('a',)\n",
    "computed": "KEYS = ('a',)\nclass Own:\n    columns = KEYS\n",
    "decorated": "@print\nclass Own:\n    columns = ('a',)\n",
    "a metaclass": "class Own(metaclass=type):\n    columns = ('a',)\n",
    "a strange base": "from nowhere import Base\nclass Own(Base):\n    columns = ('a',)\n",
    "numbers": "class Own:\n    columns = (1, 2)\n",
    "a text": "class Own:\n    columns = 'accuracy'\n",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(100))

    def write(text: str) -> str:
        name = f"declared_{tmp_path.name}_{next(count)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.mark.parametrize("name", ["Plain", "Annotated", "Derived"])
def test_plain_texts_are_read(module: Any, name: str) -> None:
    found = find_source(f"{module(SOURCE)}.{name}")
    assert found is not None
    assert class_texts(found, "columns") == ("accuracy", "rank")


@pytest.mark.parametrize("what", UNSURE)
def test_what_is_not_certain_is_not_said(module: Any, what: str) -> None:
    found = find_source(f"{module(UNSURE[what])}.Own")
    assert found is None or class_texts(found, "columns") is None


def config_with(kind: str, monitor: str, place: str) -> dict[str, Any]:
    """The small config, with a metric ``top`` that is monitored."""
    spec = copy.deepcopy(CONFIG)
    spec["initialize"]["definitions"].append(
        {"group": "metrics", "name": "top", "spec": {"class": kind, "inputs": ["y_hat", "y"]}}
    )
    stage = spec["train"]["stages"][0]
    for name in (*stage.get("validation_pipelines", []), *stage["training_pipelines"])[:1]:
        spec["initialize"]["pipelines"][name]["metrics"] = [{"metric_name": "top"}]
    stage["measure_training"] = not stage.get("validation_pipelines")
    if place == "best":
        spec["checkpoints"] = {"best": {"monitor": monitor}}
    else:
        condition = {"class": "EarlyStopping", "kwargs": {"monitor": monitor}}
        stage["stop_condition"] = condition
    return spec


def problems_of(spec: dict[str, Any]) -> list[str]:
    return [problem.message for problem in read_training(spec).diagnostics.problems]


@pytest.mark.parametrize("place", ["best", "stop_condition"])
def test_a_wrong_key_is_told(module: Any, place: str) -> None:
    name = module(SOURCE)
    messages = problems_of(config_with(f"{name}.Plain", "top/rnk", place))
    assert 'no row has "top/rnk"; did you mean "top/rank"?' in messages
    assert name not in sys.modules


@pytest.mark.parametrize("place", ["best", "stop_condition"])
@pytest.mark.parametrize("monitor", ["top/rank", "top/rank/0"])
def test_a_right_key_is_not(module: Any, place: str, monitor: str) -> None:
    messages = problems_of(config_with(f"{module(SOURCE)}.Plain", monitor, place))
    assert not [message for message in messages if "no row" in message]


def test_one_that_may_be_right_is_not(module: Any) -> None:
    kind = f"{module(UNSURE['in the object'])}.Own"
    assert not [m for m in problems_of(config_with(kind, "top/b", "best")) if "no row" in m]
