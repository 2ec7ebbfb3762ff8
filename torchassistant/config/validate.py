"""A tree → a typed block; what pydantic finds becomes problems with places."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from torchassistant.config.spec import DEFINITIONS, Block
from torchassistant.config.tree import Path, place_of
from torchassistant.errors import ConfigError, Place, Problem, listing, near

B = TypeVar("B", bound=Block)

_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}


def validate(block: type[B], tree: Any, file: str = "") -> B:
    """Check a tree against a block of the language.

    Raises:
        ConfigError: With one problem for each thing that does not fit, in file order.
    """
    try:
        return block.model_validate(tree)
    except ValidationError as error:
        problems = _problems(block, tree, error.errors(include_url=False), file)
        raise ConfigError(*problems) from None


def in_file_order(problems: list[Problem]) -> list[Problem]:
    """Problems sorted by position, without repeats."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.place.line, p.place.column))


def _problems(
    block: type[Block], tree: Any, errors: list[ErrorDetails], file: str
) -> list[Problem]:
    found: dict[Place, list[str]] = {}
    for details in errors:
        path = _real_path(tree, details["loc"])
        extra = details["type"] == "extra_forbidden"
        place = place_of(tree, path, file, at_key=extra)
        found.setdefault(place, []).append(_sentence(block, path, details))
    return in_file_order([Problem(_one_of(texts), place) for place, texts in found.items()])


def _one_of(sentences: list[str]) -> str:
    """One sentence for a value that fits none of several forms."""
    sentences = list(dict.fromkeys(sentences))
    expected = [s.removeprefix("expected ").rpartition(", found ") for s in sentences]
    if len(sentences) > 1 and all(s.startswith("expected ") for s in sentences):
        forms = " or ".join(dict.fromkeys(form for form, _, _ in expected))
        return f"expected {forms}, found {expected[0][2]}"
    return "; or: ".join(sentences)


def _real_path(tree: Any, loc: Path) -> Path:
    """pydantic's location without the tags of unions, which are no keys of the config."""
    path: list[str | int] = []
    node = tree
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        )
        if inside:
            node = node[step]
            path.append(step)
        elif last and isinstance(node, dict) and not _is_tag(step):
            path.append(step)
    return tuple(path)


def _is_tag(step: str | int) -> bool:
    """Whether a step of pydantic's location names a choice of a union."""
    text = str(step)
    return text in (*DEFINITIONS, "str", "int", "float", "block") or any(c in text for c in "[(")


def _sentence(block: type[Block], path: Path, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(block, details["loc"][:-1])
        return f'unknown key "{path[-1]}"{near(str(path[-1]), known)}'
    if kind == "missing":
        return f'the key "{details["loc"][-1]}" is missing'
    if kind == "union_tag_invalid":
        found = str(context.get("tag"))
        return f'unknown group "{found}"{near(found, DEFINITIONS)}'
    if kind == "union_tag_not_found":
        return f'the key "group" is missing; it is one of {listing(list(DEFINITIONS), 20)}'
    if kind == "value_error":
        return str(context.get("error", details["msg"]))
    if kind == "literal_error":
        return f"expected {context.get('expected')}, found {_shown(details['input'])}"
    message = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    names = {
        "string": "a string",
        "list": "a list",
        "dictionary": "an object",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
    }
    return f"expected {names.get(message, message)}, found {_shown(details['input'])}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"{_KINDS[dict] if isinstance(value, dict) else _KINDS[list]} of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _known_keys(block: type[BaseModel], loc: Path) -> list[str]:
    """The keys that may stand at ``loc``; follows the fields of the blocks."""
    model: Any = block
    for step in loc:
        if isinstance(step, str) and step in DEFINITIONS:
            model = DEFINITIONS[step]
            continue
        fields = getattr(model, "model_fields", None)
        if fields is None or not isinstance(step, str):
            continue
        by_key = {field.alias or name: field for name, field in fields.items()}
        if step in by_key:
            model = _block_in(by_key[step].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _block_in(annotation: Any) -> type[BaseModel] | None:
    """The block inside an annotation such as ``list[Annotated[Block, …]] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _block_in(part)
        if found:
            return found
    return None
