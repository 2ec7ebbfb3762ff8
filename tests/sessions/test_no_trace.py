"""A session that was created with a preflight trains as one that was created without it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keepers
import pytest
import torch
from toy_config import Config, toy_config

import torchassistant
from torchassistant.errors import SessionError


def with_part(place: str, kind: str) -> Config:
    """A config in which one part has a keeper."""

    def part(name: str) -> Config:
        return {"class": f"kept_parts.{name}", "kwargs": {"kind": kind}}

    training: Config = {"dataset": "rows", "kwargs": {"batch_size": 4}}
    node = {"model_name": "net", "inputs": ["x"], "outputs": ["y_hat"], "optimizer_name": "adam"}
    processor: Config = {"neural_graph": [node], "device": "cpu"}
    adam: Config = {"class": "Adam", "model": "net", "kwargs": {"lr": 0.1}}
    mse: Config = {"class": "MSELoss", "inputs": ["y_hat", "y"]}
    mae: Config = {"class": "MeanAbsoluteError", "inputs": ["y_hat", "y"]}
    changes: dict[str, Any] = {
        "rows": ("datasets", part("Rows")),
        "mae": ("metrics", mae),
        "checking": {"dataset": "rows", "kwargs": {"batch_size": 5}},
    }
    if place == "stream":
        changes["stream"] = ("datasets", part("Stream"))
        training["dataset"] = "stream"
    elif place == "sampler":
        training["kwargs"]["sampler"] = part("Turned")
    elif place == "batch sampler":
        training["kwargs"] = {"batch_sampler": part("Batches")}
    elif place == "collator":
        changes["collator"] = ("collators", part("Collator"))
        training["collator"] = "collator"
    elif place == "augment":
        training["augment"] = {**part("Transform"), "on": "batches", "columns": [0]}
    elif place == "preprocessor":
        changes["process"] = ("preprocessors", part("Process"))
        changes["processed"] = ("datasets", {"link": "rows", "preprocessors": ["process"]})
        training["dataset"] = "processed"
    elif place == "adapters":
        processor |= {"input_adapter": part("Into"), "output_adapter": part("Out")}
    elif place == "model":
        changes["net"] = part("Net")
    elif place == "loss":
        mse["class"], mse["kwargs"] = "kept_parts.Loss", {"kind": kind}
        mse["transform"] = part("Of")
    elif place == "metric":
        mae |= part("Metric")
    elif place == "hooks":
        changes["forward"] = (
            "forward_hooks", {"model": "net", "factory_fn": "kept_parts.moved_hook"}
        )  # fmt: skip
        changes["backward"] = (
            "backward_hooks", {"model": "net", "factory_fn": "kept_parts.turned_hook"}
        )  # fmt: skip
    elif place == "optimizer":
        adam = {"class": "kept_parts.SGD", "model": "net", "kwargs": {"lr": 0.1, "kind": kind}}
    elif place == "scheduler":
        adam["lr_scheduler"] = {**part("Rate"), "interval": "step"}
    changes |= {"training": training, "processor": processor, "adam": adam, "mse": mse}
    config = toy_config(**changes)
    definitions = config["initialize"]["definitions"]
    config["initialize"]["definitions"] = [
        d for d in definitions if d["name"] not in ("points", "parts")
    ]
    scored = {"metric_name": "mae", "display_name": "mae"}
    config["initialize"]["pipelines"]["check"]["metrics"] = [scored]
    config["initialize"]["debug_pipelines"] = {
        "look": {
            "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "training"}],
            "num_iterations": 1,
            "interval": 1000,
            "output_keys": ["y_hat"],
        }
    }
    config["train"]["stages"][0]["debug_pipelines"] = ["look"]
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 2
    return config


PLACES = (
    "dataset", "stream", "sampler", "batch sampler", "collator", "augment", "preprocessor",
    "adapters", "model", "loss", "metric", "hooks", "optimizer", "scheduler",
)  # fmt: skip
KINDS = list(keepers.KEEPERS)
CASES = list(zip(itertools.cycle(PLACES), KINDS, strict=False))
assert len(CASES) >= len(PLACES)


def as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module of the keepers keeps, as in a new process."""
    keepers.CALLS, keepers.COUNTS = 0, {"all": [0]}
    keepers.NUMBERS, keepers.OWN = itertools.count(), random.Random(3)
    keepers.OfTheClass.list = [0]
    for kind in (keepers.OfTheClass, keepers.OfTheBase):
        monkeypatch.setattr(kind, "calls", 0)
    keepers.remembered.cache_clear()
    keepers.remembered_for_a_while.cache_clear()


def trained(config: Config, folder: Path, preflight: bool) -> tuple[dict[str, Any], str]:
    session = torchassistant.create_session(
        config, folder, preflight=preflight, trust=["kept_parts"]
    )
    session.train()
    rows = (folder / "metrics" / "0.csv").read_text().splitlines()
    return session.models["net"].state_dict(), "\n".join(r.rpartition(",")[0] for r in rows)


@pytest.mark.parametrize(("place", "kind"), CASES)
def test_with_and_without_a_preflight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, kind: str
) -> None:
    config = with_part(place, kind)
    as_at_first(monkeypatch)
    plain, plain_rows = trained(config, tmp_path / "plain", preflight=False)
    as_at_first(monkeypatch)
    flown, flown_rows = trained(config, tmp_path / "flown", preflight=True)
    assert all(torch.equal(plain[name], flown[name]) for name in plain)
    assert plain_rows == flown_rows


def test_without_being_put_back_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above can fail."""

    @contextmanager
    def nothing(roots: Any, lightly: bool = False) -> Iterator[list[Any]]:
        yield []

    monkeypatch.setattr("torchassistant.session.preflight.flight.unchanged", nothing)
    config = with_part("sampler", "attribute")
    plain, _ = trained(config, tmp_path / "plain", preflight=False)
    flown, _ = trained(config, tmp_path / "flown", preflight=True)
    assert not all(torch.equal(plain[name], flown[name]) for name in plain)


def test_lazy_layers_get_their_shape(tmp_path: Path) -> None:
    """It is all that the preflight leaves behind; without one there is nothing to store."""
    config = toy_config(net={"class": "torch.nn.LazyLinear", "args": [1]})
    with pytest.raises(SessionError, match="its layer is lazy"):
        torchassistant.create_session(config, tmp_path / "run", preflight=False)
    session = torchassistant.create_session(config, tmp_path / "run")
    session.train()
    again = torchassistant.load_session(tmp_path / "run")
    assert torch.equal(session.models["net"].weight, again.models["net"].weight)


@pytest.mark.parametrize(("place", "kind"), [("adapters", "items"), ("model", "generators")])
def test_debug_pipelines_leave_no_trace(tmp_path: Path, place: str, kind: str) -> None:
    """As the rules of what may be changed in a session promise."""
    config = with_part(place, kind)
    config["initialize"]["debug_pipelines"]["look"]["interval"] = 1
    looked, looked_rows = trained(config, tmp_path / "looked", preflight=False)
    config["train"]["stages"][0]["debug_pipelines"] = []
    plain, plain_rows = trained(config, tmp_path / "plain", preflight=False)
    assert all(torch.equal(plain[name], looked[name]) for name in plain)
    assert plain_rows == looked_rows
