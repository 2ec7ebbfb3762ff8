"""A node whose model is compiled is trained, cut, resumed and judged like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from toy_config import toy_config

import torchassistant
from torchassistant.session.requests.evaluation_run import evaluate_config


def test_a_compiled_node_resumes_to_the_same_bits_and_is_evaluated_plainly(
    tmp_path: Path,
) -> None:
    # No compiler is needed for this backend; and the model, as most, has no length.
    node = {"model_name": "net", "inputs": ["x"], "outputs": ["y_hat"], "optimizer_name": "adam"}
    graph = [node | {"compile": {"backend": "aot_eager"}}]
    config = toy_config(processor={"neural_graph": graph})
    config["checkpoints"] = {"every_iterations": 1, "keep_last": 100}
    folder = tmp_path / "run"
    session = torchassistant.create_session(config, folder, trust=["toys"])
    session.train()
    whole = {name: tensor.clone() for name, tensor in session.models["net"].state_dict().items()}
    assert list(whole) == [f"layers.{i}.{name}" for i in (0, 3) for name in ("weight", "bias")]

    # Four iterations are an epoch: it goes on from the middle of the second.
    for path in (folder / "checkpoints").iterdir():
        if int(path.name.partition("-")[0]) > 6:
            shutil.rmtree(path)
    resumed = torchassistant.load_session(folder, trust=["toys"])
    assert resumed.progress.step == 6
    resumed.train()
    for name, tensor in resumed.models["net"].state_dict().items():
        assert torch.equal(tensor, whole[name]), name
    rows = [s.history.drop(columns="seconds").to_dict("list") for s in (session, resumed)]
    assert rows[0] == rows[1]

    plainly = "batch_processors.processor.neural_graph[0].compile=false"
    found = evaluate_config(folder, settings=[plainly], trust=["toys"])
    assert found["val loss"] == pytest.approx(rows[0]["val loss"][-1], rel=1e-5)
