"""A session keeps the shapes that its preflight has seen, for the picture of its graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import torchassistant
from torchassistant.overview import training_graph

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("with_preflight", [True, False])
def test_a_session_keeps_shapes(tmp_path: Path, with_preflight: bool) -> None:
    config = EXAMPLES / "digits" / "training.json"
    folder = tmp_path / "digits"
    torchassistant.create_session(config, folder, preflight=with_preflight)
    kept = folder / "static" / "shapes.json"
    assert kept.exists() == with_preflight
    drawn = training_graph(folder)
    if with_preflight:
        shapes = json.loads(kept.read_text())["training"]
        (ports,) = shapes["ports"].values()
        (nodes,) = shapes["nodes"].values()
        (node,) = nodes.values()
        size = next(iter(ports.values()))[0]
        assert next(iter(node["outputs"].values())) == [size, 10]
        assert f"{size}×10" in drawn
    else:
        assert "×10" not in drawn
    torchassistant.load_session(folder)
