"""The two forms of a config: which of them a file has, and what reads and writes it.

PyYAML is imported for YAML alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchassistant.config.json_reader import scan_json
from torchassistant.config.text import Text

YAML_SUFFIXES = (".yaml", ".yml")


def is_yaml(file: str | Path) -> bool:
    """Whether a file holds YAML, as its name says."""
    return str(file).lower().endswith(YAML_SUFFIXES)


def scan(text: str, file: str = "") -> Text:
    """Read a config from text, past what can be passed over.

    Args:
        text: JSON, in which ``//`` and ``/* */`` comments may stand between tokens; or YAML, where
            the name of the file says so.
        file: The name under which problems are reported.
    """
    if not is_yaml(file):
        return scan_json(text, file)
    from torchassistant.config.yaml_reader import scan_yaml

    return scan_yaml(text, file)


def as_yaml(data: Any) -> str:
    """A config as YAML, which reads back equal.

    Objects are written in lines, lists of a few plain values in one. What a reader of YAML may
    take for something else than the text that it is stands in quotes.

    Args:
        data: Plain data, as JSON has it; keys keep their order.
    """
    from torchassistant.config.yaml_writer import write_yaml

    return write_yaml(data)
