"""The example of parts: each can be exchanged, and widths follow."""

from __future__ import annotations

import re
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

CONFIG = "examples/parts/training.yaml"
PARTS = {
    "backbone": "backbones/residual.yaml",
    "neck": "necks/projection.yaml",
    "pooling": "poolings/maximum.yaml",
    "head": "heads/hidden.yaml",
}


@pytest.mark.parametrize("exchanged", [[], ["backbone"], [*PARTS]], ids=len)
def test_parts_fit_together(run: Run, exchanged: list[str]) -> None:
    settings = [f"{part}=@examples/parts/{PARTS[part]}" for part in exchanged]
    options = [word for setting in settings for word in ("--set", setting)]
    width = ("--set", "variables.width=20")
    lines = run("-m", "torchassistant", "check", CONFIG, "--preflight", *width, *options).stdout
    features = re.search(r"features \(32, (\d+)", lines)
    shaped = re.search(r"shaped \(32, (\d+)", lines)
    assert features is not None and features.group(1) == "20"
    assert shaped is not None and shaped.group(1) == ("24" if "neck" in exchanged else "20")
    assert "scores (32, 10)" in lines
