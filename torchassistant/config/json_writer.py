"""Data → JSON as a person would write it: what fits into a line stands in one."""

from __future__ import annotations

import json
from typing import Any

_WIDTH = 96
_STEP = 4


def write_json(data: Any) -> str:
    """A config as JSON, which reads back equal.

    Args:
        data: Plain data; keys keep their order.
    """
    return _text(data, 0, 0, at_top=True) + "\n"


def _text(value: Any, indent: int, before: int, at_top: bool = False) -> str:
    """A value as text.

    Args:
        value: The value.
        indent: How far the lines are indented that its last line ends.
        before: How many characters stand before it in its first line.
        at_top: Whether it is the whole config, which has lines in any case.
    """
    in_a_line = json.dumps(value, ensure_ascii=False)
    fits = before + len(in_a_line) < _WIDTH and not at_top  # and a comma
    if not value or not isinstance(value, (dict, list)) or fits:
        return in_a_line
    inner = indent + _STEP
    pad = " " * inner
    if isinstance(value, dict):
        keys = {key: f"{json.dumps(key, ensure_ascii=False)}: " for key in value}
        lines = [f"{keys[k]}{_text(value[k], inner, inner + len(keys[k]))}" for k in value]
    else:
        lines = [_text(item, inner, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(f"{pad}{line}" for line in lines)
    return f"{opening}\n{body}\n{' ' * indent}{closing}"
