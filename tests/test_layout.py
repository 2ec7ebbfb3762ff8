"""Results as text."""

from __future__ import annotations

import json

from torchassistant.cli.layout import aligned, as_json, counted


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    rows = [("name", "size"), ("a longer one", "1 B"), ("\x1b[2J", "")]
    assert [*aligned(rows)] == ["name          size", "a longer one  1 B", "\\x1b[2J"]


def test_what_would_control_a_terminal_is_escaped_in_json() -> None:
    text = as_json({"ä\x9b": [1, None]})
    assert "\x9b" not in text
    assert json.loads(text) == {"ä\x9b": [1, None]}


def test_there_is_one_or_there_are_several() -> None:
    assert counted(1, "batch") == "1 batch"
    assert counted(2000, "epoch") == "2,000 epochs"
