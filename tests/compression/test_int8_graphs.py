"""Values between layers rounded to bytes: what torchao finds, and the searches that try it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from searches import TRUSTED, request, search, trained
from torch import Tensor, nn

from torchassistant.compression.calls import ModelCall, PartCall
from torchassistant.compression.int8_graphs import int8_graphs
from torchassistant.export import export_session
from torchassistant.rebuilding import Misfit, axes_of, rebuilt
from torchassistant.session import evaluate_config, load_session


class Residual(nn.Module):
    """Batch norms, a sum, and a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.other, self.relu = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.ReLU()
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> dict[str, Tensor]:
        x = self.relu(self.norm(self.first(x)))
        x = self.relu(self.other(self.second(x)) + x)
        return {"y": self.out(x.mean((2, 3))) * scale}


def calls(*args: Any, **kwargs: Any) -> list[PartCall]:
    return [PartCall("", ModelCall(args, kwargs))]


def rounded_to_bytes(model: nn.Module) -> int:
    """How many values the exported forward pass of a model rounds."""
    program = torch.export.export(model, (torch.ones(2, 1, 8, 8),), {"scale": 2.0})
    return sum("quantize_per_tensor" in str(node.target) for node in program.graph.nodes)


@pytest.mark.parametrize("is_dynamic", [False, True])
def test_what_is_found_is_data_that_a_model_is_rebuilt_from(is_dynamic: bool) -> None:
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(16, 1, 8, 8)
    for _ in range(5):
        model(x)
    model.requires_grad_(False)
    plain = model.eval()(x, scale=2.0)["y"]
    steps = int8_graphs(model, calls(x, scale=2.0), is_dynamic)
    assert [step["kind"] for step in steps] == ["int8_graph"]
    assert all(("scale" in value) is not is_dynamic for value in steps[0]["values"])
    # Of the layers before the sum, and before each other one.
    nodes = {value["node"] for value in steps[0]["values"]}
    assert {"x", "relu", "mean"} <= nodes
    steps = json.loads(json.dumps([*steps, {"kind": "int8", "axes": axes_of(model)}]))
    room = rebuilt(Residual().eval(), steps)
    small = rebuilt(model, steps, convert=True)
    room.load_state_dict(small.state_dict())
    given = small(x, scale=2.0)["y"]
    assert torch.equal(room(x, scale=2.0)["y"], given)
    assert 1e-4 < ((given - plain).norm() / plain.norm()).item() < 0.1
    assert rounded_to_bytes(small) >= 6
    # Of other sizes too; of another form, and where it trains, as the layers compute.
    alone = small(x[:1, :, :6], scale=2.0)["y"]
    assert alone.shape == (1, 5)
    assert not torch.equal(small(x, scale=1.0)["y"] * 2, given)
    assert not torch.equal(small.train()(x, scale=2.0)["y"], given)


def test_what_does_not_fit_says_why() -> None:
    linear = nn.Linear(4, 4)

    class Branching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() > 0 else x

    x = torch.ones(3, 4)
    for model, given, message in [
        (linear, [], "no training pipeline of the last stage calls it"),
        (nn.Tanh(), calls(x), "no layer that integer kernels compute"),
        (Branching(4, 4), calls(x), "torch.export cannot trace it"),
        (nn.Identity(), calls({"x": x}), "is a dict, and no tensor"),
    ]:
        with pytest.raises(Misfit, match=message):
            int8_graphs(model, given, False)
    (step,) = int8_graphs(linear, calls(x), False)
    step["values"][0]["node"] = "other"
    with pytest.raises(Misfit, match='a graph that has no "other"'):
        rebuilt(nn.Linear(4, 4), [step])


def test_searches_try_it_and_sessions_load_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(slow=("models", {"average_of": "net", "decay": 0.5}))
    found = search(request(methods=("int8-static", "int8-dynamic"), delta=0.3))
    assert len(found.records) == 3 and all(one.holds for one in found.records)
    for record in found.records[1:]:
        folder = Path("run-compressed/candidates") / f"{record.number:04}"
        assert evaluate_config(folder, **TRUSTED)["val loss"] == record.metric
    assert len(load_session(found.result, **TRUSTED).predict("check")) == 10
    assert not list(Path("run-compressed").rglob("*.pt*"))
    # ONNX has scales that follow from the values, too.
    dynamic = Path("run-compressed/candidates/0001")
    export = export_session(dynamic, "files", format="onnx", pipeline="check", **TRUSTED)
    assert export.comparison is not None and export.comparison.tolerance.absolute == 0.1
    model = onnx.load("files/model.onnx")
    assert "DynamicQuantizeLinear" in {node.op_type for node in model.graph.node}
    # And its weights are bytes; those of the last layer, which has one output, are not worth it.
    kinds = [one.data_type for one in model.graph.initializer if len(one.dims) > 1]
    assert kinds == [*[onnx.TensorProto.INT8] * 2, onnx.TensorProto.FLOAT]
