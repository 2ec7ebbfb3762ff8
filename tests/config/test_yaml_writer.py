"""YAML as a person would write it."""

from __future__ import annotations

import pytest
import yaml

from torchassistant.config.forms import as_yaml
from torchassistant.config.reader import read_text


def test_blocks_and_short_lists() -> None:
    data = {
        "seed": 1,
        "lr": 1e-5,
        "names": ["images", "labels"],
        "kwargs": {},
        "stages": [{"pipelines": ["fit"], "note": "one\ntwo\n"}],
        "long": ["a" * 40, "b" * 40],
        "tensor": [[1, 2], [3, 4]],
        "off": None,
    }
    written = as_yaml(data)
    assert (
        written
        == f"""\
seed: 1
lr: 1.0e-05
names: [images, labels]
kwargs: {{}}
stages:
  - pipelines: [fit]
    note: |
      one
      two
long:
  - {"a" * 40}
  - {"b" * 40}
tensor:
  - [1, 2]
  - [3, 4]
'off': null
"""
    )
    assert read_text(written, "c.yaml") == data


@pytest.mark.parametrize(
    "text", ["1e-3", "012", "0o17", "1_000", "no", "~", "", "1e3", "08", " a", "&a"]
)
def test_texts_that_look_otherwise_are_quoted_for_every_reader(text: str) -> None:
    written = as_yaml({"a": text, "b": [text], text: 1})
    assert read_text(written, "c.yaml") == {"a": text, "b": [text], text: 1}
    assert yaml.safe_load(written) == {"a": text, "b": [text], text: 1}


def test_nothing_is_an_anchor() -> None:
    shared = {"x": [1, 2]}
    written = as_yaml({"a": shared, "b": shared})
    assert "&" not in written and read_text(written, "c.yaml") == {"a": shared, "b": shared}
