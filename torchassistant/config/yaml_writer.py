"""Data → YAML as a person would write it: in lines, with short lists in brackets."""

from __future__ import annotations

from typing import Any

from yaml import SafeDumper, dump
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from torchassistant.config.yaml_reader import meaning

_WIDTH = 1 << 30
"""No text is broken into lines that has none."""
_SHORT = 70
"""How many characters a list in one line has at most."""


def write_yaml(data: Any) -> str:
    """A config as YAML; see ``as_yaml`` of ``forms``."""
    return dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


class _Dumper(SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)  # lists are indented under their keys

    def represent_text(self, text: str) -> Node:
        is_block = "\n" in text.rstrip("\n") and text.isascii() and _is_plain_block(text)
        style = "|" if is_block else None if text.isprintable() and _is_text(text) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    def represent_row(self, row: list[Any]) -> Node:
        node = self.represent_sequence("tag:yaml.org,2002:seq", row)
        assert isinstance(node, SequenceNode)
        is_plain = all(isinstance(item, ScalarNode) for item in node.value)
        length = sum(len(item.value) + 2 for item in node.value) if is_plain else _SHORT + 1
        node.flow_style = length <= _SHORT
        return node

    def represent_table(self, table: dict[str, Any]) -> Node:
        node = self.represent_mapping("tag:yaml.org,2002:map", table)
        assert isinstance(node, MappingNode)
        node.flow_style = not table
        return node


_Dumper.add_representer(str, _Dumper.represent_text)
for add in (_Dumper.add_representer, _Dumper.add_multi_representer):  # of classes, and of theirs
    add(list, _Dumper.represent_row)
    add(dict, _Dumper.represent_table)


def _is_plain_block(text: str) -> bool:
    """Whether a text of several lines can be written as it is."""
    lines = text.split("\n")
    return all(line == line.rstrip() and line.isprintable() for line in lines) and bool(lines[0])


def _is_text(text: str) -> bool:
    """Whether a text is one without quotes."""
    try:
        return meaning(text) == text
    except ValueError:
        return False
