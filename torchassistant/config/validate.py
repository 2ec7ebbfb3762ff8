"""A tree → a typed block. What does not fit is told, mended, and marked as broken.

Mending lets the later levels of the check see everything else: a key that is misspelt is taken for
the key that was meant, and what cannot be read is replaced by a placeholder of which, as it is
broken, nothing more is said.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from torchassistant.config.findings import Findings
from torchassistant.config.spec import DEFINITIONS, Block, DefinitionBlock
from torchassistant.config.tree import UNREADABLE, Path, Row, Table, as_tree
from torchassistant.errors import listing, near, nearest

B = TypeVar("B", bound=Block)

PLACEHOLDER = "\ufffc"
_ROUNDS = 20
"""Mending one thing may uncover another inside it, never deeper than the language is nested."""

_KINDS = {
    "string": "a string",
    "list": "a list",
    "dictionary": "an object",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def validate(block: type[B], tree: Any, findings: Findings) -> B | None:
    """Check a tree against a block of the language.

    Args:
        block: What it should be.
        tree: Changed in place where it is mended.
        findings: Gets the problems, and the parts that were mended.

    Returns:
        The block, mended where it had to be; None where the tree is past mending.
    """
    _set_aside_unreadable(tree, findings, ())
    renamed: set[Path] = set()
    for _ in range(_ROUNDS):
        try:
            return block.model_validate(tree)
        except ValidationError as error:
            errors = _by_path(tree, error.errors(include_url=False))
        misspelt = {p: d for p, d in errors.items() if _is_unknown_key(d)}
        for path, details in misspelt.items():
            _unknown_key(block, tree, path, details[0], findings, renamed)
        # Misspelt keys first: a key that is missing may be one of them.
        for path, details in errors.items() if not misspelt else ():
            _misfit(block, tree, path, details, findings, renamed)
    return None


def _set_aside_unreadable(tree: Any, findings: Findings, path: Path) -> None:
    """What the reader has told of already is broken; null stands in its place."""
    items = (
        list(tree.items())
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for step, value in items:
        if value is UNREADABLE:
            tree[step] = None
            findings.broken.add((*path, step))
        else:
            _set_aside_unreadable(value, findings, (*path, step))


def _by_path(tree: Any, errors: list[ErrorDetails]) -> dict[Path, list[ErrorDetails]]:
    found: dict[Path, list[ErrorDetails]] = {}
    for details in errors:
        found.setdefault(_real_path(tree, details), []).append(details)
    return found


def _real_path(tree: Any, details: ErrorDetails) -> Path:
    """pydantic's location without the tags of unions, which are no keys of the config."""
    path: list[str | int] = []
    node = tree
    for step in details["loc"]:
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        )
        if inside:
            node = node[step]
            path.append(step)
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)


def _is_unknown_key(details: list[ErrorDetails]) -> bool:
    return details[0]["type"] == "extra_forbidden"


def _unknown_key(
    block: type[Block],
    tree: Any,
    path: Path,
    details: ErrorDetails,
    findings: Findings,
    renamed: set[Path],
) -> None:
    """Tell of a key that is not in the language; take it for the one that was meant, if any."""
    *above, key = path
    table, fields = _at(tree, above), _fields(_annotation_at(block, tree, tuple(above)))
    name, known = str(key), list(fields)
    meant = nearest(name, known)
    hint = near(name, known)
    if meant is None and "kwargs" in known:
        hint += '; arguments stand under "kwargs"'
    findings.note(f'unknown key "{name}"{hint}', path, at_key=True)
    if meant is not None and meant not in table:
        table.take(table, name, as_key=meant)
        renamed.add((*above, meant))
    del table[name]


def _misfit(
    block: type[Block],
    tree: Any,
    path: Path,
    details: list[ErrorDetails],
    findings: Findings,
    renamed: set[Path],
) -> None:
    """Tell of a value that does not fit, or is missing, and put something that fits there."""
    kind = details[0]["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        _unknown_group(tree, path, details[0], findings)
        return
    if path not in renamed:
        findings.note(_one_of([_sentence(d) for d in details]), path)
    findings.broken.add(path)
    if not path:
        return
    *above, key = path
    holder = _at(tree, above)
    field = _fields(_annotation_at(block, tree, tuple(above))).get(str(key))
    if field is not None and not field.is_required():
        holder.pop(key, None)
        return
    annotation = field.annotation if field else _annotation_at(block, tree, path)
    holder[key] = _placeholder(annotation)


def _unknown_group(tree: Any, path: Path, details: ErrorDetails, findings: Findings) -> None:
    definition = _at(tree, path)
    found = details.get("ctx", {}).get("tag")
    at: Path = (*path, "group") if "group" in definition else path
    if details["type"] == "union_tag_not_found" and "group" not in definition:
        key = nearest("group", set(definition) - {"name", "spec"})
        if key:
            findings.note(f'unknown key "{key}"; did you mean "group"?', (*path, key), at_key=True)
            definition.take(definition, key, as_key="group")
            del definition[key]
            return
        message = f'the key "group" is missing; it is one of {listing(list(DEFINITIONS), 20)}'
    else:
        text = str(found if found is not None else definition.get("group"))
        message = f'unknown group "{text}"{near(text, DEFINITIONS)}'
    findings.note(message, at)
    meant = nearest(str(found), DEFINITIONS)
    if meant:
        definition["group"] = meant
        return
    # Whatever it is, something of this name is defined.
    name = definition.get("name")
    findings.broken.add(path)
    if isinstance(name, str):
        findings.nameless.add(name)
    _at(tree, path[:-1])[path[-1]] = _placeholder(DefinitionBlock)


def _one_of(sentences: list[str]) -> str:
    """One sentence for a value that fits none of several forms."""
    sentences = list(dict.fromkeys(sentences))
    expected = [s.removeprefix("expected ").rpartition(", found ") for s in sentences]
    if len(sentences) > 1 and all(s.startswith("expected ") for s in sentences):
        forms = " or ".join(dict.fromkeys(form for form, _, _ in expected))
        return f"expected {forms}, found {expected[0][2]}"
    return "; or: ".join(sentences)


def _sentence(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "missing":
        return f'the key "{details["loc"][-1]}" is missing'
    if kind == "literal_error":
        return f"expected {context.get('expected')}, found {_shown(details['input'])}"
    if kind == "too_short":
        return "expected at least one, found none"
    if kind == "string_too_short":
        return "expected a string that is not empty"
    if kind == "string_pattern_mismatch":
        return f"expected a string of the form {context.get('pattern')}, " + (
            f"found {_shown(details['input'])}"
        )
    message = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if kind in ("model_type", "model_attributes_type"):
        message = "dictionary"
    return f"expected {_KINDS.get(message, message)}, found {_shown(details['input'])}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return f'"{text}"' if isinstance(value, str) else text


# What the language has where


def _at(tree: Any, path: Any) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _fields(annotation: Any) -> dict[str, FieldInfo]:
    """The fields of a block, by the key of the config; none for anything else."""
    if not (isinstance(annotation, type) and issubclass(annotation, Block)):
        return {}
    return {field.alias or name: field for name, field in annotation.model_fields.items()}


def _annotation_at(block: type[Block], tree: Any, path: Path) -> Any:
    """The type that the language has at ``path``; None where it has none."""
    annotation: Any = _plain(block, tree)
    for step in path:
        fields = _fields(annotation)
        if step in fields:
            annotation = fields[str(step)].annotation
        elif get_origin(annotation) is list:
            (annotation,) = get_args(annotation)
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            return None
        inside = isinstance(tree, dict) or (isinstance(tree, list) and isinstance(step, int))
        try:
            tree = tree[step] if inside else None
        except (KeyError, IndexError):
            tree = None
        annotation = _plain(annotation, tree)
    return annotation


def _plain(annotation: Any, value: Any) -> Any:
    """A type without its notes; of several, the one that a value is meant to be."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    choices = [_plain(choice, value) for choice in get_args(annotation)]
    if DEFINITIONS["models"] in choices:
        group = value.get("group") if isinstance(value, dict) else None
        return DEFINITIONS.get(group, DefinitionBlock) if isinstance(group, str) else None
    choices = [choice for choice in choices if choice is not type(None)]
    for choice in choices:
        if isinstance(value, dict) and (_fields(choice) or get_origin(choice) is dict):
            return choice
        if isinstance(value, list) and get_origin(choice) is list:
            return choice
    return choices[0]


def _placeholder(annotation: Any) -> Any:
    """The least that fits a type."""
    annotation = _plain(annotation, None)
    if annotation in (None, DefinitionBlock):
        return as_tree({"group": "collators", "name": PLACEHOLDER, "spec": {"class": PLACEHOLDER}})
    if annotation is str:
        return PLACEHOLDER
    if get_origin(annotation) is list:
        return Row([_placeholder(get_args(annotation)[0])])
    if get_origin(annotation) is dict:
        return Table({PLACEHOLDER: _placeholder(get_args(annotation)[1])})
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if annotation in (int, float):
        return annotation(1)
    fields = _fields(annotation)
    table = Table({k: _placeholder(f.annotation) for k, f in fields.items() if f.is_required()})
    if "class" in fields and not table.get("neural_graph"):
        table["class"] = PLACEHOLDER
    return table
