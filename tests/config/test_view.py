"""What is unknown absorbs every question, and no rule asks whether something is broken."""

from __future__ import annotations

import copy
import operator
from pathlib import Path as File
from typing import Any

import pytest
from small_config import CONFIG

from torchassistant import config as language
from torchassistant.config import checks
from torchassistant.config.checks.scope import Scope
from torchassistant.config.checks.unknown import Unknown
from torchassistant.config.checks.view import View

RULES = [
    path
    for path in File(checks.__file__).parent.glob("*.py")
    if path.stem not in ("unknown", "resolver", "view", "scope")
]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_no_rule_asks_what_is_broken(path: File) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("is_broken", ".broken", ".dropped", ".ungrouped"):
        assert word not in text


def test_what_is_unknown_absorbs_every_question() -> None:
    unknown: Any = Unknown()
    assert not operator.eq(unknown, unknown)
    assert not operator.ne(unknown, 7)
    assert not isinstance(unknown, str)
    assert unknown
    assert isinstance(unknown.spec.losses.get(7), Unknown)
    assert "anything" in unknown
    assert list(unknown.losses) == []
    assert not unknown.complete
    assert len({Unknown(), Unknown()}) == 2


def seen(change: Any) -> Scope:
    """The small config, with a change, as the checks see it."""
    data = copy.deepcopy(CONFIG)
    change(data)
    diagnostics = language.read(data)
    spec = language.spec_of(diagnostics)
    assert spec is not None
    return Scope(spec, diagnostics)


def node_of(scope: Scope) -> View:
    (processor,) = scope.groups["batch_processors"].values()
    (node,) = processor.spec.neural_graph
    assert isinstance(node, View)
    return node


def put(key: str, value: Any) -> Any:
    """Another value for a key of the only node."""

    def change(data: dict[str, Any]) -> None:
        (spec,) = (
            d["spec"] for d in data["initialize"]["definitions"] if d["group"] == "batch_processors"
        )
        spec["neural_graph"][0][key] = value

    return change


def test_fields_are_what_is_written() -> None:
    node = node_of(seen(put("mode", "eval")))
    assert node.mode == "eval"
    assert [use.name for use in node.outputs] == node.block.outputs
    assert node.outputs.complete
    assert node.outputs.unreadable == 0


def test_what_cannot_be_read_is_unknown() -> None:
    node = node_of(seen(put("outputs", 7)))
    assert isinstance(node.outputs, Unknown)
    node = node_of(seen(put("outputs", ["y_hat", 7])))
    assert node.outputs.names == ["y_hat"]
    assert node.outputs.unreadable == 1
    node = node_of(seen(put("optimizer_name", "nowhere_at_all")))
    assert node.complete


def test_what_an_unknown_key_may_have_meant_is_unknown() -> None:
    node = node_of(seen(put("zzz", 7)))
    assert not node.complete
    assert isinstance(node.mode, Unknown)
    assert not isinstance(node.model_name, Unknown)
