"""The fragments of docs/recipes.md are in the language of configs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from torchassistant.config.reader import read_text
from torchassistant.config.spec import DEFINITIONS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
FRAGMENTS = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
SCHEMA = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
GROUPS = {group: block.__name__ for group, block in DEFINITIONS.items()}
BLOCKS = {
    "loss_name": "PipelineLossSpec",
    "model_name": "NodeSpec",
    "training_pipelines": "StageSpec",
}


def block_of(fragment: dict[str, Any]) -> str:
    """Which block of the language an object is, by its keys; else a pipeline."""
    if "group" in fragment:
        return GROUPS[fragment["group"]]
    return next((name for key, name in BLOCKS.items() if key in fragment), "PipelineSpec")


def errors(fragment: dict[str, Any]) -> Iterator[str]:
    """What is wrong with an object, but for keys that the page leaves out."""
    schema = {"$ref": f"#/$defs/{block_of(fragment)}", "$defs": SCHEMA["$defs"]}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(fragment):
        if error.validator != "required":
            yield f"{error.json_path}: {error.message}"


@pytest.mark.parametrize("text", FRAGMENTS)
def test_a_fragment_is_in_the_language(text: str) -> None:
    tree = json.loads(json.dumps(read_text(text, "recipes.md")))
    parts = tree if isinstance(tree, list) else [tree]
    assert [error for part in parts for error in errors(part)] == []


def test_a_mistake_is_seen() -> None:
    assert list(errors({"training_pipelines": ["a"], "epoch_lenght": 3}))
    assert list(errors({"losses": [{"loss_name": "a", "wieght": 3}]}))
    assert list(errors({"group": "models", "name": "a", "spec": {"class": "A", "kwarg": {}}}))
