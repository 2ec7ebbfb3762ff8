"""Results as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torchassistant.cli.layout import aligned, as_json, counted, problems_as_data
from torchassistant.cli.main import main
from torchassistant.errors import Place, Problem


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


def test_a_problem_has_its_place() -> None:
    problem = Problem("is wrong", Place("a.json", 3, 7, "train"))
    told = {"message": "is wrong", "details": None, "file": "a.json", "line": 3, "column": 7}
    assert problems_as_data([problem]) == [{**told, "path": "train"}]
    assert problems_as_data([Problem("is wrong")])[0]["file"] is None


def test_check_tells_problems_as_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"seed": "one",\n "initialise": {}}')
    assert main(["check", str(config), "--json"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    problems = json.loads(out)["problems"]
    assert {(p["file"], p["path"]) for p in problems} >= {(str(config), "seed")}
    assert all(p["message"] and p["line"] for p in problems if p["path"] == "seed")
