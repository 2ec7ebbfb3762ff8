"""Writes config.schema.json, by which editors complete and check a config, from the language.

``python docs/schema.py`` writes it anew, here and in the package, which brings it along.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torchassistant.config.spec import Spec

FILE = Path(__file__).with_name("config.schema.json")
FILES = (FILE, FILE.parents[1] / "torchassistant" / FILE.name)


def schema() -> dict[str, Any]:
    """The JSON Schema of a training config."""
    made = Spec.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TorchAssistant training config",
        **{key: value for key, value in _without_titles(made).items() if key != "title"},
    }


def text() -> str:
    """The same as the text of the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _without_titles(value: Any, names: bool = False) -> Any:
    """Without the titles that are only the names of keys again.

    Args:
        value: A part of the schema.
        names: Whether its keys are names of the config, among which ``title`` may be one.
    """
    if isinstance(value, dict):
        return {
            key: _without_titles(item, names=not names and key in ("properties", "$defs"))
            for key, item in value.items()
            if names or key != "title"
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for file in FILES:
        file.write_text(text(), encoding="utf-8")
