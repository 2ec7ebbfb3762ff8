"""State stands under ids, is put back strictly, and is read in the form of earlier versions too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stateful_parts
import torch
from toy_config import toy_config

import torchassistant
from torchassistant.config.groups import GROUPS, ID_WORDS
from torchassistant.errors import Interrupted, SessionError
from torchassistant.session.checkpoints.bundle import read_state
from torchassistant.session.checkpoints.storage import Checkpoint
from torchassistant.session.files.manifest import FORMAT, WITHOUT_PARTS
from torchassistant.session.state.formats import upgraded
from torchassistant.session.state.state import snapshot
from torchassistant.training import Reporter, StopRequest

DATA = Path(__file__).resolve().parent / "data"
PARTS = ["stateful_parts"]
EARLIER = (2, 3)

IDS = {
    "generators": {
        "datasets/rows.own",
        "datasets/rows.stateful_parts.SHARED",
        "loader_factories/training/augment/0.own",
        "loader_factories/training/augment/1.own",
        "loader_factories/single/augment/0.own",
        "models/net.own",
        "losses/falling/transform.own",
        "batch_processors/whole.own",
        "batch_processors/both/input_adapter.own",
        "batch_processors/both/output_adapter.own",
        "batch_processors/late/output_adapter.own",
    },
    "samplers": {"loader_factories/training", "loader_factories/single"},
    "training": {
        "schedulers/adam",
        "pipelines/one/scaler",
        "pipelines/two/scaler",
        "stages/0/stop_condition",
        "stages/1/stop_condition",
        "datasets/rows",
        "collators/stacked",
        "loader_factories/training/augment/0",
        "loader_factories/training/augment/1",
        "loader_factories/single/augment/0",
    },
    "results": {
        "losses/falling",
        "losses/falling/transform",
        "batch_processors/whole",
        "batch_processors/both/input_adapter",
        "batch_processors/both/output_adapter",
        "batch_processors/late/output_adapter",
    },
    "buffers": {"models/net", "losses/falling"},
    "extra_state": {"models/net"},
}


@pytest.mark.parametrize("section", ["training", "results"])
def test_ids_stand_in_the_section_that_their_group_declares(section: str) -> None:
    for id in IDS[section]:
        word = id.partition("/")[0]
        if word not in ("stages", "pipelines"):
            group, _ = ID_WORDS.get(word, (word, ""))
            assert GROUPS[group].state == section, id


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> None:
    """What the module keeps would go on from test to test."""
    stateful_parts.SHARED.manual_seed(11)


def create(folder: Path) -> Any:
    config = DATA / "stateful.json"
    return torchassistant.create_session(config, folder, trust=PARTS, preflight=False)


def load(folder: Path, **options: Any) -> Any:
    return torchassistant.load_session(folder, trust=PARTS, **options)


def newest(folder: Path) -> Path:
    return sorted((folder / "checkpoints").iterdir())[-1]


def stored(folder: Path) -> dict[str, Any]:
    """What is stored in a checkpoint, by file; the environment is of no interest."""
    state = read_state(newest(folder), "state")
    del state["environment"]
    optimizer = read_state(newest(folder), "optimizers/adam")
    return {"state": state, "optimizer": optimizer}


def is_close(one: Any, other: Any) -> bool:
    """Equal, but for what another processor rounds otherwise."""
    if isinstance(one, torch.Tensor):
        return torch.allclose(one, other) if one.is_floating_point() else torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_close, one, other))
    return bool(one == pytest.approx(other) if isinstance(one, float) else one == other)


class StopAfter(Reporter):
    def __init__(self, stop: StopRequest, iterations: int) -> None:
        self.stop, self.left = stop, iterations

    def iteration_done(self, live: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.signum = 2


@pytest.mark.parametrize("written", EARLIER)
def test_a_session_of_an_earlier_version_goes_on(
    tmp_path: Path, written: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was saved in the middle of its second epoch by the version that wrote that format."""
    shutil.copytree(DATA / f"format {written}", tmp_path / "old")
    create(tmp_path / "new").train()
    capsys.readouterr()
    old = load(tmp_path / "old")
    assert "the checkpoint is authoritative" not in capsys.readouterr().err, (
        "nothing of it is damaged"
    )
    assert old.progress.step == 5
    old.train()
    one, other = (stored(tmp_path / name) for name in ("old", "new"))
    for found in (one, other):
        found["state"]["progress"].pop("within", None)
    assert is_close(one, other)
    assert (
        json.loads((newest(tmp_path / "old") / "manifest.json").read_text())["format"]
        == WITHOUT_PARTS
    )
    shown = [
        session.drop(columns="seconds") for session in (old.history, load(tmp_path / "new").history)
    ]
    assert shown[0].to_numpy() == pytest.approx(shown[1].to_numpy(), nan_ok=True)


def test_an_earlier_version_held_the_history_in_each_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is put back from there, and is held twice from then on."""
    shutil.copytree(DATA / "format 3", tmp_path / "old")
    path = tmp_path / "old" / "metrics" / "0.csv"
    rows = path.read_bytes()
    path.unlink()
    session = load(tmp_path / "old")
    assert "0.csv is missing" in capsys.readouterr().err
    session.train()
    assert path.read_bytes().startswith(rows)
    assert (tmp_path / "old" / "history" / "0.csv").read_bytes() == path.read_bytes()
    manifest = json.loads((newest(tmp_path / "old") / "manifest.json").read_text())
    assert manifest["logs"]["metrics/0.csv"]["size"] == path.stat().st_size
    assert [n for n, found in manifest["session"].items() if "text" in found] == ["spec.json"]


@pytest.mark.parametrize("written", EARLIER)
def test_what_it_holds_is_all_put_back(tmp_path: Path, written: int) -> None:
    """To save it again gives the same, under ids."""
    shutil.copytree(DATA / f"format {written}", tmp_path / "old")
    create(tmp_path / "new")
    stop = StopRequest()
    with pytest.raises(Interrupted):
        load(tmp_path / "new").train(StopAfter(stop, 5), stop)
    stateful_parts.SHARED.manual_seed(0)
    old = load(tmp_path / "old")
    again = tmp_path / "again"
    snapshot(old, old.progress, None, {}, {}, {}).write(again)
    one, other = read_state(again, "state"), stored(tmp_path / "new")["state"]
    for found in (one, other):
        found.pop("random"), found.pop("environment", None), found.pop("progress")
    assert is_close(one, other)


def test_a_mean_over_examples_begins_anew_where_the_loss_counts_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sum over examples and one over labels make no mean, and that is told."""
    config = toy_config(mse={"class": "stateful_parts.Labelled", "inputs": ["y_hat", "y"]})
    session = torchassistant.create_session(config, tmp_path / "run", trust=PARTS, preflight=False)
    stop = StopRequest()
    with pytest.raises(Interrupted):
        session.train(StopAfter(stop, 2), stop)
    session = load(tmp_path / "run")
    state = stored(tmp_path / "run")["state"]
    before = {**state, "modules": {}, "extra state": {}, "environment": {}}
    assert state["progress"]["within"]["passes"]["fit"]["losses"]
    assert not upgraded(before, session)["progress"]["within"]["passes"]["fit"]["losses"]
    assert 'the mean of "loss"' in capsys.readouterr().err
    before["progress"]["within"]["passes"]["fit"]["done"] = True
    assert upgraded(before, session)["progress"]["within"]["passes"]["fit"]["losses"]


def test_the_keys_are_ids(tmp_path: Path) -> None:
    create(tmp_path / "run")
    state = stored(tmp_path / "run")["state"]
    assert {section: set(state[section]) for section in IDS} == IDS
    assert set(state) - set(IDS) == {"progress", "random"}


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes checkpoints give another ``state.json`` than they hold."""
    read = Checkpoint.state

    def alter(change: Callable[[dict[str, Any]], Any]) -> None:
        def given(self: Checkpoint, name: str, *device: Any) -> Any:
            state = read(self, name, *device)
            if name == "state":
                change(state)
            return state

        monkeypatch.setattr(Checkpoint, "state", given)

    yield alter


def test_what_is_missing_is_named(tmp_path: Path, altered: Callable[..., None]) -> None:
    create(tmp_path / "run")
    sections = [section for section in IDS if section != "extra_state"]
    altered(lambda state: [state[section].clear() for section in sections])
    with pytest.raises(SessionError) as caught:
        load(tmp_path / "run")
    told = [problem.message for problem in caught.value.problems]
    for section in sections:
        for key in IDS[section]:
            assert any(line.endswith(f": {section}: {key} is missing") for line in told), key
    assert "checkpoints/0000000000" in told[0]


def test_what_is_left_over_is_named(tmp_path: Path, altered: Callable[..., None]) -> None:
    create(tmp_path / "run")
    sections = [section for section in IDS if section not in ("extra_state", "generators")]
    altered(
        lambda state: [
            state[section].update({"schedulers/sgd": {}, "losses/l1": {}}) for section in sections
        ]
    )
    with pytest.raises(SessionError) as caught:
        load(tmp_path / "run")
    told = str(caught.value)
    for section in sections:
        assert f"{section}: schedulers/sgd is left over" in told
        assert f"{section}: losses/l1 is left over" in told


def test_what_no_code_takes_is_left_where_that_is_accepted(
    tmp_path: Path, altered: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    create(tmp_path / "run")
    altered(lambda state: state["training"].pop("datasets/rows"))
    load(tmp_path / "run", accept_changes=True)
    assert "warning: the stored state of datasets/rows does not fit" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["newest", "all"])
def test_a_later_format_is_named_as_such(tmp_path: Path, where: str) -> None:
    session = torchassistant.create_session(toy_config(), tmp_path / "run")
    session.train()
    checkpoints = sorted((tmp_path / "run" / "checkpoints").iterdir())
    for path in checkpoints[-1:] if where == "newest" else checkpoints:
        manifest = path / "manifest.json"
        data = {**json.loads(manifest.read_text()), "format": FORMAT + 1, "more": {}}
        manifest.write_text(json.dumps({**data, "sha256": "of all that"}))
    with pytest.raises(SessionError, match=r"has the format 6, which a later version .* update"):
        torchassistant.load_session(tmp_path / "run")
