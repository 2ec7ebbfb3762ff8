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

from torchassistant.config import spec

PAGE = Path(__file__).with_name("config.md")
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
    return _SECTION.sub(
        lambda found: f"<!-- {found['block']} -->\n{table(found['block'])}\n<!-- end -->", page
    )


def table(block: str) -> str:
    """The keys of one block: key, type, default, meaning."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in getattr(spec, block).model_fields.items():
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
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin is list:
        return f"list of {type_text(arguments[0])}"
    if origin is dict:
        return f"object of {type_text(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, spec.Block):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _NAMES[annotation]


def _is_definition(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, spec.DefinitionBlock)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "needed"
    if isinstance(field.default, spec.Block):
        return "its defaults"
    return "" if field.default is None else f"`{json.dumps(field.default)}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
