"""Writes the tables of config.md from the blocks of the config language.

``python docs/tables.py`` rewrites what stands between ``<!-- BlockName -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from torchassistant.config.blocks import Block, blocks_of
from torchassistant.config.groups import GROUPS
from torchassistant.config.spec import DefinitionBlock, EvaluationSpec, InferenceSpec, Spec

PAGE = Path(__file__).with_name("config.md")
BLOCKS = {
    block.__name__: block
    for top in (Spec, EvaluationSpec, InferenceSpec)
    for block in blocks_of(top)
    if not issubclass(block, DefinitionBlock)
}
_SECTION = re.compile(r"<!-- (?P<block>\w+) -->\n.*?<!-- end -->", re.DOTALL)
_NAMES = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "object",
    list: "list",
    Any: "anything",
    type(None): "null",
}


def with_tables(page: str) -> str:
    """A page with every table as the language has it now."""

    def written(found: re.Match[str]) -> str:
        block = found["block"]
        text = groups() if block == "groups" else table(block)
        return f"<!-- {block} -->\n{text}\n<!-- end -->"

    return _SECTION.sub(written, page)


def groups() -> str:
    """Links to the sections about the groups of definitions, in the order of the registry."""
    sections = dict.fromkeys(group.section for group in GROUPS.values())
    links = [f"[{section}](#{section.replace(' ', '-')})" for section in sections]
    return "- Definitions: " + " · ".join(links)


def table(block: str) -> str:
    """The keys of one block: key, type, default, meaning."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in BLOCKS[block].model_fields.items():
        kind = type_text(field.annotation)
        meaning = field.description or ""
        lines.append(f"| `{field.alias or name}` | {kind} | {_default(field)} | {meaning} |")
    return "\n".join(lines)


def type_text(annotation: Any) -> str:
    """A type in the words of JSON."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin in (Union, types.UnionType):
        if _is_definition(arguments[0]):
            return "definitions"
        kinds = dict.fromkeys(type_text(a) for a in arguments if a is not type(None))
        return " or ".join(kinds)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin is list:
        return f"list of {type_text(arguments[0])}"
    if origin is dict:
        return f"object of {type_text(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _NAMES[annotation]


def _is_definition(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, DefinitionBlock)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "needed"
    if isinstance(field.default, Block):
        return "its defaults"
    return "" if field.default is None else f"`{json.dumps(field.default)}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
