"""The mistakes of configs again, in YAML: the same sentences, each in its place of that text."""

from __future__ import annotations

import json
import re
from typing import Any

import mistakes
import pytest
import yaml
from mistakes_of_configs import TABLES
from planting import apply

from torchassistant import config as language
from torchassistant.config import as_yaml, scan, walk
from torchassistant.config.tree import UNREADABLE
from torchassistant.errors import ConfigError, Problem

SOURCES = mistakes.sources()
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_LINE = re.compile(r"\bline \d+")


def told(text: str, file: str) -> list[Problem]:
    found = scan(text, file)
    assert not found.problems, found.problems
    try:
        diagnostics = language.read(found)
        language.spec_of(diagnostics)
    except ConfigError as error:
        return error.problems
    return [*diagnostics.problems, *diagnostics.warnings]


def sentences(problems: list[Problem]) -> list[tuple[str, str]]:
    """What is told, and of what; lines are others in another form."""
    return sorted((p.place.path, _LINE.sub("line N", p.message)) for p in problems)


def possible_places(root: yaml.Node, path: str) -> set[tuple[int, int]]:
    """Where a key of a path and its value stand, or what would hold it, as PyYAML has it."""
    node, places = root, {_place(root)}
    for key, index in _STEP.findall(path):
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if pair[0].value == key]
            if not pairs:
                return places
            places = {_place(pairs[0][0]), _place(pairs[0][1])}
            node = pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
            node = node.value[int(index)]
            places = {_place(node)}
        else:
            return places
    return places


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TABLES)
def test_every_mistake_is_told_in_yaml_as_in_json(name: str, half: int) -> None:
    source, count = SOURCES[name], 0
    mistakes = list(TABLES[name].items())[half::2]
    for what, mistake in mistakes:
        text, _ = apply(source, mistake(source))
        read = scan(text)
        if read.problems or read.tree is None or _has_unreadable(read.tree):
            continue  # it is one of the text of JSON
        count += 1
        in_yaml = as_yaml(read.tree)
        found = told(in_yaml, "c.yaml")
        assert sentences(found) == sentences(told(text, "c.json")), what
        root = yaml.compose(in_yaml, yaml.SafeLoader)
        for problem in found:
            place = problem.place
            if place.path and not set(place.path) & set('"{'):
                assert (place.line, place.column) in possible_places(root, place.path), problem
    assert count > len(mistakes) // 2


def _has_unreadable(tree: Any) -> bool:
    return any(value is UNREADABLE for _, value in walk(tree))


def test_examples_are_right_in_yaml() -> None:
    for name, source in SOURCES.items():
        assert told(as_yaml(scan(source.text).tree), "c.yaml") == told(source.text, "c.json"), name
        spec = language.load(scan(as_yaml(scan(source.text).tree), "c.yaml"))
        as_json = language.load(scan(source.text))
        assert json.dumps(language.as_data(spec)) == json.dumps(language.as_data(as_json))
