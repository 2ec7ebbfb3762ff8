"""What is said of a value of a config that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from torchassistant import sizes
from torchassistant.config.module_patterns import TAP

KINDS = {
    "string": "a string",
    "list": "a list",
    "dictionary": "an object",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}

_FORMS = {
    sizes.PATTERN: 'a size such as "500 MB"',
    TAP: 'a module such as "layer2", or its input, "layer2@input"',
}
"""What patterns mean."""


def sentence_of(errors: Sequence[ErrorDetails]) -> str:
    """One sentence for a value that fits none of several forms."""
    sentences = list(dict.fromkeys(map(_sentence, errors)))
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
        return f"expected {context.get('expected')}, found {shown_value(details['input'])}"
    if kind == "too_short":
        return "expected at least one, found none"
    if kind == "string_too_short":
        return "expected a string that is not empty"
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        expected = _FORMS.get(pattern, f"a string of the form {pattern}")
        return f"expected {expected}, found {shown_value(details['input'])}"
    message = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if kind in ("model_type", "model_attributes_type", "union_tag_not_found"):
        message = "dictionary"
    return f"expected {KINDS.get(message, message)}, found {shown_value(details['input'])}"


def shown_value(value: Any) -> str:
    """A value of a config as a message shows it."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return f'"{text}"' if isinstance(value, str) else text
