"""What a session keeps for those who look at it: shapes of columns, and names of classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import torchassistant
from torchassistant.overview import training_graph
from torchassistant.report import read_report

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


def test_a_session_keeps_what_classes_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["zero", *"123456789"]
    monkeypatch.setattr("examples.digits.data.Digits.classes", names, raising=False)
    folder = tmp_path / "digits"
    torchassistant.create_session(EXAMPLES / "digits" / "training.json", folder, preflight=False)
    assert json.loads((folder / "static" / "classes.json").read_text()) == {"digits": names}
    (session,) = read_report([folder]).sessions
    assert session.class_names == {10: names}
    other = {"digits": names, "letters": ["a"] * 10, "few": ["b"], "wrong": 3}
    (folder / "static" / "classes.json").write_text(json.dumps(other))
    (session,) = read_report([folder]).sessions
    assert session.class_names == {1: ["b"]}  # nobody knows which ten are meant
