"""Recurrent layers and packed sequences as scans: torch's own are what they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from export_configs import PARTS, config_of, session_of
from export_parts import Reader, Sentences, Stepping
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torchassistant.compat import recurrence
from torchassistant.errors import DataError
from torchassistant.export import export_session
from torchassistant.export.attention import AttentionWithHeads
from torchassistant.export.recurrent_layers import traceable_recurrence

WORDS = {
    "data": {"class": "export_parts.Sentences"},
    "columns": ["words", "label"],
    "loader": {"collator": "pad"},
    "more": [{"group": "collators", "name": "pad", "spec": {"class": "PadSequences"}}],
}
Tensors = dict[str, torch.Tensor]
NODE = {"model_name": "net", "inputs": ["words"], "outputs": ["y"]}


def flat(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else [t for one in value for t in flat(one)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.LSTM, {}),
        (nn.LSTM, {"proj_size": 2, "bias": False}),
        (nn.GRU, {"batch_first": False}),
        (nn.RNN, {"nonlinearity": "relu", "bidirectional": False}),
        (nn.RNN, {}),
    ],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_layers_are_what_torch_makes_of_them(
    kind: Any, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Outside of a trace torch compiles a scan, which takes seconds.
    monkeypatch.setattr(recurrence, "scan", recurrence.written_out)
    layer = kind(4, 3, 2, **{"batch_first": True, "bidirectional": True, **options}).eval()
    x = torch.randn(5, 4, 4)
    lengths = torch.tensor([2, 4, 1, 3, 4] if layer.batch_first else [3, 5, 1, 2])

    def given() -> list[torch.Tensor]:
        states, last = layer(x)
        packed = pack_padded_sequence(x, lengths, layer.batch_first, enforce_sorted=False)
        again, last_packed = layer(packed, last)
        padded, found = pad_packed_sequence(again, layer.batch_first, padding_value=-1.0)
        alone, last_alone = layer(x[0])
        return flat([states, last, padded, found, last_packed, alone, last_alone])

    with torch.no_grad():
        wanted = given()
        with traceable_recurrence():
            found = given()
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert type(layer).forward.__module__ == "torch.nn.modules.rnn"


def test_packed_texts_of_any_length(tmp_path: Path) -> None:
    session = session_of(
        config_of({"net": {"class": "export_parts.Reader"}}, [NODE], **WORDS), tmp_path
    )
    made = export_session(session.path, tmp_path / "pt2", format="pt2", trust=PARTS)
    assert made.notes == []
    module = torch.export.load(tmp_path / "pt2" / "model.pt2").module()
    net: Reader = session.models["net"].eval()
    for rows in ([[1]], [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 0, 0, 0, 0, 0, 0]]):
        words = torch.tensor(rows)
        with torch.no_grad():
            torch.testing.assert_close(module({"words": words})["y"], net(words))
    assert len(Sentences()) == 12


@pytest.mark.slow  # writing ONNX takes seconds
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("model", ["Reader", "Attending", "Translating"])
def test_texts_in_onnx(tmp_path: Path, model: str) -> None:
    layers = {"kwargs": {"kind": "LSTM", "layers": 2, "both": True}} if model == "Reader" else {}
    net_spec = {"class": f"export_parts.{model}"} | layers
    session = session_of(config_of({"net": net_spec}, [NODE], **WORDS), tmp_path)
    export_session(session.path, tmp_path / "onnx", format="onnx", trust=PARTS)
    runner = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    net = session.models["net"].eval()
    for rows in ([[1]], [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 0, 0, 0, 0, 0, 0]]):
        words = torch.tensor(rows)
        (found,) = runner.run(["y"], {"words": words.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), net(words))


CARRIED = {
    "columns": ["x", "y0"],
    "loader": {"contiguous": True},
    "data": {"class": "export_parts.Series"},
}
READS_ON = {
    "model_name": "net",
    "inputs": ["x", "state"],
    "outputs": ["y", "next"],
    "carry": {"state": "next"},
}


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session whose model reads on, and its graph for sequences of the length of the data."""
    folder = tmp_path_factory.mktemp("reading")
    net = {"class": "export_parts.Stepping", "kwargs": {"layers": 1}}
    session = session_of(config_of({"net": net}, [READS_ON], **CARRIED), folder)
    export_session(session.path, folder / "pt2", format="pt2", trust=PARTS)
    return session, folder / "pt2"


def expect_to_read_on(session: Any, run: Callable[[Tensors], Tensors], length: int) -> None:
    net: Stepping = session.models["net"].eval()
    x, state = torch.randn(3, length, 2), (torch.randn(1, 3, 3), torch.randn(1, 3, 3))
    with torch.no_grad():
        y, after = net(x, state)
    wanted = {"y": y, "next.0": after[0], "next.1": after[1]}
    found = run({"x": x, "state.0": state[0], "state.1": state[1]})
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_a_carry_is_further_inputs_and_outputs(reading: Any) -> None:
    session, folder = reading
    expect_to_read_on(session, torch.export.load(folder / "model.pt2").module(), 4)


@pytest.mark.slow
def test_a_carry_in_onnx(reading: Any, tmp_path: Path) -> None:
    session, _ = reading
    export_session(session.path, tmp_path / "new", format="onnx", trust=PARTS)
    runner = onnxruntime.InferenceSession(tmp_path / "new" / "model.onnx")
    names = [one.name for one in runner.get_outputs()]

    def run(inputs: Tensors) -> Tensors:
        values = runner.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {n: torch.from_numpy(v) for n, v in zip(names, values, strict=True)}

    expect_to_read_on(session, run, 4)


def test_an_export_does_not_fix_the_sizes_of_the_next(reading: Any, tmp_path: Path) -> None:
    session, _ = reading
    made = export_session(
        session.path, tmp_path / "any", format="pt2", trust=PARTS, dynamic=["x:1"]
    )
    assert made.comparison is not None
    assert made.comparison.shapes["y"] == ["batch", "x_1", 1]
    expect_to_read_on(session, torch.export.load(tmp_path / "any" / "model.pt2").module(), 6)


def test_an_axis_may_have_a_least_size(tmp_path: Path) -> None:
    node = {"model_name": "net", "inputs": ["x"], "outputs": ["y"]}
    config = config_of({"net": {"class": "export_parts.Shortened"}}, [node], **CARRIED)
    session = session_of(config, tmp_path)
    made = export_session(
        session.path, tmp_path / "pt2", format="pt2", trust=PARTS, dynamic=["x:1"]
    )
    assert made.comparison is not None
    assert made.comparison.shapes == {"y": ["batch", "y_1", 1]}
    x = torch.randn(2, 9, 2)
    found = torch.export.load(tmp_path / "pt2" / "model.pt2").module()({"x": x})
    torch.testing.assert_close(found["y"], session.models["net"](x))


def test_an_axis_that_varies_later_is_of_any_size(tmp_path: Path) -> None:
    """All of the first examples have one length, and later ones another."""
    data = {**WORDS, "data": {"class": "export_parts.LateSentences"}}
    node = {"model_name": "net", "inputs": ["words"], "outputs": ["y"]}
    net = {"class": "torch.nn.Embedding", "args": [9, 2]}
    session = session_of(config_of({"net": net}, [node], **data), tmp_path)
    made = export_session(session.path, tmp_path / "pt2", format="pt2", trust=PARTS)
    assert made.comparison is not None
    assert made.comparison.shapes == {"y": ["batch", "words_1", 2]}


def test_attention_of_graphs_that_were_traced_has_heads_too() -> None:
    class Attending(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.aten.scaled_dot_product_attention.default(x, x, x)

    x = torch.randn(2, 3, 4)
    with AttentionWithHeads():
        program = torch.export.export(Attending(), (x,))
    (attention,) = (n for n in program.graph.nodes if "attention" in str(n.target))
    assert attention.args[0].meta["val"].ndim == 4
    torch.testing.assert_close(program.module()(x), Attending()(x))


def test_a_state_that_does_not_begin_with_zeros_has_to_say_so(tmp_path: Path) -> None:
    config = config_of({"net": {"class": "export_parts.Beginning"}}, [READS_ON], **CARRIED)
    session = session_of(config, tmp_path)
    with pytest.raises(DataError, match=r"does something else with None.*initial_state"):
        export_session(session.path, tmp_path / "new", format="pt2", trust=PARTS)
