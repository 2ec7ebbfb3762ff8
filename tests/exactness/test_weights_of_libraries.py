"""Weights that transformers and timm have written; importing these libraries takes long."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import Config, made, one_model
from safetensors.torch import save_file

from torchassistant import create_session
from torchassistant.errors import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "exact_parts library_parts timm")


def config(net: Config, weights: Config) -> Config:
    return one_model({"models": {"net": {**net, "weights": weights}}})


@pytest.mark.filterwarnings("ignore")
def test_folders_of_transformers() -> None:
    pytest.importorskip("transformers")
    from library_parts import bert

    torch.manual_seed(1)
    model = bert(None)
    model.save_pretrained("whole")
    model.save_pretrained("shards", max_shard_size="3KB")
    assert Path("shards", "model.safetensors.index.json").exists()
    state = model.state_dict()
    for folder in ("whole", "shards"):
        weights = {"from": folder}
        net = {"factory_fn": "library_parts.bert"}
        session = create_session(config(net, weights), f"from {folder}", preflight=False)
        found = session.models["net"].state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
    other = {"factory_fn": "library_parts.bert", "kwargs": {"num_labels": 5, "positions": 20}}
    with pytest.raises(ConfigError) as caught:
        create_session(config(other, {"from": "whole"}), "other", preflight=False)
    told = str(caught.value)
    assert "classifier.weight (3, 8) in place of (5, 8)" in told
    assert "position_embeddings.weight (12, 8) in place of (20, 8)" in told
    weights = {"from": "shards", "exclude": ["classifier.*", "*.position_embeddings.*"]}
    found = (
        create_session(config(other, weights), "other", preflight=False).models["net"].state_dict()
    )
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(found[name], state[name])


@pytest.mark.filterwarnings("ignore")
def test_a_model_of_timm() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    state = timm.create_model("resnet10t", num_classes=7).state_dict()
    save_file(state, "resnet.safetensors")
    net = made("timm.create_model", "resnet10t", num_classes=3)
    with pytest.raises(ConfigError, match=r"fc.weight \(7, 512\) in place of \(3, 512\)"):
        create_session(config(net, {"from": "resnet.safetensors"}), "run", preflight=False)
    weights = {"from": "resnet.safetensors", "exclude": ["fc.*"]}
    found = create_session(config(net, weights), "run", preflight=False).models["net"].state_dict()
    kept = [name for name in state if not name.startswith("fc.")]
    assert all(torch.equal(found[name], state[name]) for name in kept)
