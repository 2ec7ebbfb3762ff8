"""What the language has where: fields of blocks, the type at a path, the least that fits it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from torchassistant.config.blocks import Block
from torchassistant.config.spec import DEFINITIONS, DefinitionBlock
from torchassistant.config.tree import UNREADABLE, Path, Row, Table, as_tree

PLACEHOLDER = "\ufffc"
"""Stands for a name that cannot be read."""

_SOURCES = (
    *("class", "factory_fn", "link", "merge", "neural_graph"),
    *("part_of", "average_of"),
)
"""Keys of which one says what an object is made by."""


@cache
def fields_of(annotation: Any) -> dict[str, FieldInfo]:
    """The fields of a block, by the key of the config; none for anything else."""
    if not (isinstance(annotation, type) and issubclass(annotation, Block)):
        return {}
    return {field.alias or name: field for name, field in annotation.model_fields.items()}


def fields_of_spec(definition: type[DefinitionBlock]) -> dict[str, FieldInfo]:
    annotation: Any = definition.model_fields["spec"].annotation
    return fields_of(annotation)


def missing_keys(fields: dict[str, FieldInfo], table: Mapping[Any, Any]) -> list[str]:
    """The keys that a block lacks; "class" for an object that is made by nothing."""
    keys = [key for key, field in fields.items() if field.is_required() and key not in table]
    is_made = "class" not in fields or any(key in table for key in _SOURCES)
    return keys if is_made else [*keys, "class"]


def only_missing_key(fields: dict[str, FieldInfo], table: dict[str, Any], value: Any) -> str | None:
    """The only key that a block lacks, if a value fits there."""
    keys = missing_keys(fields, table)
    is_only = len(keys) == 1 and fits(fields[keys[0]].annotation, value)
    return keys[0] if is_only else None


def fits(annotation: Any, value: Any) -> bool:
    """Whether a value is of the kind that may stand somewhere."""
    return value is UNREADABLE or isinstance(value, type(placeholder(annotation)))


def annotation_at(block: type[Block], tree: Any, path: Path) -> Any:
    """The type that the language has at ``path``, without notes; None where it has none."""
    return plain(*_noted_annotation_at(block, tree, path))


def placeholder_at(block: type[Block], tree: Any, path: Path) -> Any:
    """The least that fits at a path."""
    noted, _ = _noted_annotation_at(block, tree, path)
    return placeholder(noted)


def _noted_annotation_at(block: type[Block], tree: Any, path: Path) -> tuple[Any, Any]:
    """The type at a path with its notes, and what stands there."""
    noted: Any = block
    for step in path:
        annotation = plain(noted, tree)
        fields = fields_of(annotation)
        if step in fields:
            noted = fields[str(step)].annotation
        elif get_origin(annotation) is list:
            (noted,) = get_args(annotation)
        elif get_origin(annotation) is dict:
            noted = get_args(annotation)[1]
        else:
            return None, None
        inside = isinstance(tree, dict) or (isinstance(tree, list) and isinstance(step, int))
        try:
            tree = tree[step] if inside else None
        except (KeyError, IndexError):
            tree = None
    return noted, tree


def plain(annotation: Any, value: Any) -> Any:
    """A type without its notes; of several, the one that a value is meant to be."""
    choices = _choices(annotation)
    if len(choices) == 1:
        return choices[0]
    if DEFINITIONS["models"] in choices:
        group = value.get("group") if isinstance(value, dict) else None
        return DEFINITIONS.get(group, DefinitionBlock) if isinstance(group, str) else None
    for choice in choices:
        if isinstance(value, dict) and (fields_of(choice) or get_origin(choice) is dict):
            return choice
        if isinstance(value, list) and get_origin(choice) is list:
            return choice
    return choices[0]


@cache
def _choices(annotation: Any) -> tuple[Any, ...]:
    """The types that a type may be, without notes and without null."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return (annotation,)
    inner = [plain for choice in get_args(annotation) for plain in _choices(choice)]
    return tuple(choice for choice in inner if choice is not type(None))


def _fewest_items(annotation: Any) -> int:
    """How many items a list has at least, by the notes of its type."""
    if get_origin(annotation) is not Annotated:
        return 0
    inner, *notes = get_args(annotation)
    found = [getattr(note, "metadata", [note]) for note in notes]
    fewest = [getattr(one, "min_length", 0) for some in found for one in some]
    return max(_fewest_items(inner), *fewest, 0)


def placeholder(annotation: Any) -> Any:
    """The least that fits a type."""
    fewest = _fewest_items(annotation)
    annotation = plain(annotation, None)
    if annotation in (None, DefinitionBlock):
        return as_tree({"group": "collators", "name": PLACEHOLDER, "spec": {"class": PLACEHOLDER}})
    if annotation is str:
        return PLACEHOLDER
    if get_origin(annotation) is list:
        return Row([placeholder(get_args(annotation)[0]) for _ in range(max(1, fewest))])
    if get_origin(annotation) is dict:
        return Table({PLACEHOLDER: placeholder(get_args(annotation)[1])})
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if annotation in (int, float):
        return annotation(1)
    fields = fields_of(annotation)
    table = Table({k: placeholder(f.annotation) for k, f in fields.items() if f.is_required()})
    if "class" in fields and not table.get("neural_graph"):
        table["class"] = PLACEHOLDER
    return table
