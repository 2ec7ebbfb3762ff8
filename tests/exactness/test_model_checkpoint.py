"""ModelCheckpoint: files of weights that are those of a run, whatever cuts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, made
from exact_runs import Runs
from heard_parts import ARMED, Copies
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_callbacks import assert_same_weights, callback, fit, toys, trained, wrong

from torchassistant import create_session, load_session
from torchassistant.callbacks import Callback, ModelCheckpoint
from torchassistant.callbacks.events import Now
from torchassistant.callbacks.model_checkpoint import _weights_of
from torchassistant.errors import DataError, SessionError, UserCodeError
from torchassistant.session import Session
from torchassistant.training import NamedCallback
from torchassistant.training.callback_calls import NoClock, calls_of


def keeping(*stages: Config, **kwargs: Any) -> Config:
    return toys(*stages, mine=made("ModelCheckpoint", **kwargs))


def files_of(session: Session | Path, name: str = "mine") -> dict[str, bytes]:
    path = session if isinstance(session, Path) else session.path
    folder = path / "weights" / "callbacks" / name
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())} if folder.is_dir() else {}


def said_in(path: Path) -> Any:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["torchassistant"])


class Weights(Callback):
    """The weights at each event, by hand."""

    def __init__(self, event: str) -> None:
        self.kept: list[dict[str, torch.Tensor]] = []
        setattr(self, f"on_{event}", self.keep)

    def keep(self, event: Any) -> None:
        state = event.session.models["net"].state_dict()
        self.kept.append({name: tensor.clone() for name, tensor in state.items()})


NAMES = {
    "epoch_end": [f"net-epoch-{k:04d}" for k in (1, 2, 3)],
    "iteration_end": [f"net-step-{k:08d}" for k in range(1, 10)],
    "stage_end": ["net-stage-0", "net-stage-1"],
    "train_end": ["net-final"],
}


@pytest.mark.parametrize("event", NAMES)
def test_files_are_the_weights_at_the_event(event: str, tmp_path: Path) -> None:
    session = create_session(keeping(event=event), session_dir=tmp_path / "run")
    by_hand = Weights(event)
    session.train(callbacks=[by_hand])
    found = sorted((session.path / "weights" / "callbacks" / "mine").iterdir())
    assert [path.stem for path in found] == NAMES[event]
    for path, expected in zip(found, by_hand.kept, strict=True):
        stored = load_file(path)
        assert stored.keys() == expected.keys()
        assert all(torch.equal(stored[name], expected[name]) for name in stored)
        assert path.stat().st_mode & 0o777 == 0o644
    assert_same_weights(session, trained(toys(), tmp_path / "plain"))
    assert said_in(found[-1]) == {"model": "net", "stage": 1, "epoch": 3, "step": 9}


def test_only_the_event_that_is_named_is_listened_to(tmp_path: Path) -> None:

    for event in NAMES:
        own = NamedCallback("mine", ModelCheckpoint(event=event), (), 0)  # type: ignore[arg-type]
        calls = calls_of("on_iteration_end", [own], Now(None, None), NoClock())  # type: ignore[arg-type]
        assert calls.are_any is (event == "iteration_end")


def test_every_and_the_last_ones(tmp_path: Path) -> None:
    session = trained(keeping(event="iteration_end", every=2, keep_last=2), tmp_path / "run")
    assert [*files_of(session)] == [f"net-step-{k:08d}.safetensors" for k in (6, 8)]


def test_the_best_are_kept_and_say_how_good_they_are(tmp_path: Path) -> None:
    session = trained(keeping(fit(4), monitor="val"), tmp_path / "run")
    values = session.history["val"].tolist()
    better = [i for i, value in enumerate(values) if value < min([*values[:i], float("inf")])]
    assert [*files_of(session)] == [f"net-epoch-{i + 1:04d}.safetensors" for i in better]
    last = max((session.path / "weights" / "callbacks" / "mine").iterdir())
    assert said_in(last) == {
        **{"model": "net", "stage": 0, "epoch": better[-1] + 1, "step": 3 * (better[-1] + 1)},
        **{"monitor": "val", "value": min(values)},
    }


def test_more_may_be_better(tmp_path: Path) -> None:
    config = toys(
        fit(3), adds=callback("Adds"), mine=made("ModelCheckpoint", monitor="steps", mode="max")
    )
    assert [*files_of(trained(config, tmp_path / "max"))] == [
        f"{name}.safetensors" for name in NAMES["epoch_end"]
    ]
    config = toys(fit(3), adds=callback("Adds"), mine=made("ModelCheckpoint", monitor="steps"))
    assert [*files_of(trained(config, tmp_path / "min"))] == ["net-epoch-0001.safetensors"]


def test_a_metric_says_what_is_better(tmp_path: Path) -> None:
    config = keeping(fit(3), monitor="score")
    definition = {"group": "metrics", "name": "wrong", "spec": callback("Wrongness")}
    definition["spec"]["inputs"] = ["y_hat", "y"]
    config["initialize"]["definitions"].append(definition)
    config["initialize"]["pipelines"]["check"]["metrics"] = [
        {"metric_name": "wrong", "display_name": "score"}
    ]
    session = trained(config, tmp_path / "run")
    given = create_session(
        {**config, "train": {**config["train"], "callbacks": []}}, session_dir=tmp_path / "given"
    )
    given.train(callbacks=[ModelCheckpoint(monitor="score")])
    assert [*files_of(given, "ModelCheckpoint")] == ["net-epoch-0001.safetensors"]
    values = session.history["score"].tolist()
    assert values == sorted(set(values), reverse=True)
    assert [*files_of(session)] == ["net-epoch-0001.safetensors"]


KINDS: list[dict[str, Any]] = [
    {"event": "iteration_end", "keep_last": 1},
    {"event": "iteration_end", "every": 2},
    {"monitor": "val", "keep_last": 1},
    {"event": "stage_end"},
    {"event": "train_end"},
]


@pytest.mark.parametrize("kwargs", KINDS, ids=str)
def test_a_run_that_is_cut_ends_with_the_same_files(kwargs: dict[str, Any], tmp_path: Path) -> None:
    config = toys(mine=made("ModelCheckpoint", **kwargs), raises=callback("Raises"))
    runs = Runs(config, tmp_path)
    runs.check_all_cuts_in_one()
    expected = files_of(runs.plain)
    assert expected
    assert files_of(tmp_path / "cut everywhere") == expected
    # What a process leaves that dies in the middle of an epoch, with files past its checkpoint.
    for event in ("on_validation_start", "on_stage_end", "on_train_end"):
        session = load_session(runs.copy(tmp_path / "created", event))
        ARMED.append(event)
        with pytest.raises(UserCodeError):
            session.train()
        ARMED.clear()
        (session.path / "weights" / "callbacks" / "mine").mkdir(parents=True, exist_ok=True)
        (session.path / "weights" / "callbacks" / "mine" / ".aside-left").write_bytes(b"half")
        load_session(session.path).train()
        assert files_of(session) == expected


def test_what_a_killed_process_leaves_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toys(mine=made("ModelCheckpoint", event="iteration_end"), copies=callback("Copies"))
    config["checkpoints"] = {"every_iterations": 2}
    monkeypatch.setattr(Copies, "to", tmp_path / "copies")
    session = trained(config, tmp_path / "run")
    monkeypatch.setattr(Copies, "to", None)
    copies = sorted((tmp_path / "copies").iterdir())
    assert len(copies) > 4
    for copy in copies:
        load_session(copy).train()
        assert files_of(copy) == files_of(session)


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.other.weight = self.one.weight
        self.last = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.other(self.one(x)))


def test_tied_weights_are_loaded_as_they_are(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    save_file(_weights_of(model, "net"), tmp_path / "tied.safetensors")
    other.load_state_dict(load_file(tmp_path / "tied.safetensors"))
    assert torch.equal(other.one.weight, model.one.weight)
    assert other.other.weight is other.one.weight


# Wrong uses


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"models": ["nte"]}, 'no model is named "nte"; did you mean "net"'),
        ({"models": "net"}, "\"models\" must be a list of names; it is 'net'"),
        ({"event": "epoch"}, "event must be one of epoch_end, iteration_end, stage_end, train_end"),
        ({"every": 0}, "every must be a whole number from 1 on; it is 0"),
        ({"event": "train_end", "every": 2}, "training ends once"),
        ({"event": "stage_end", "monitor": "val"}, "monitor does not go with stage_end"),
        ({"mode": "max"}, "mode must be min or max, beside monitor"),
        ({"monitor": "val", "mode": "best"}, "mode must be min or max, beside monitor"),
        ({"keep_last": 0}, "keep_last must be a whole number from 1 on"),
        ({"monitor": "vla"}, 'no row has "vla"; did you mean "val"?'),
        ({"kepp_last": 2}, "kepp_last"),
    ],
)
def test_wrong_uses_are_told_with_their_place(
    kwargs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    found = wrong(keeping(**kwargs), tmp_path)
    assert "initialize.definitions[9].spec" in found
    assert message in found


def test_a_column_that_no_row_has_is_an_error_of_a_given_one(tmp_path: Path) -> None:
    session = create_session(toys(fit(1)), session_dir=tmp_path / "run")
    mine = ModelCheckpoint(monitor="vla")
    with pytest.raises(DataError, match='no row has "vla"; did you mean "val"'):
        session.train(callbacks=[mine])


def test_names_and_links_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    session = create_session(toys(fit(1)), session_dir=tmp_path / "run")
    mine = ModelCheckpoint()
    mine.name = "../mine"
    with pytest.raises(DataError, match="cannot be the name of a folder"):
        session.train(callbacks=[mine])
    (tmp_path / "elsewhere").mkdir()
    (session.path / "weights").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SessionError, match="weights is a link"):
        load_session(session.path)
    mine.name = "mine"
    with pytest.raises(DataError, match="is a link, and links are not followed"):
        session.train(callbacks=[mine])


def test_a_session_with_weights_is_replaced_and_one_with_more_is_not(tmp_path: Path) -> None:
    config = keeping(fit(1))
    trained(config, tmp_path / "run")
    create_session(config, session_dir=tmp_path / "run", replace="run").train()
    for name in ("weights/notes.txt", "weights/callbacks/mine/notes.txt"):
        (tmp_path / "run" / name).touch()
        with pytest.raises(SessionError, match=name):
            create_session(config, session_dir=tmp_path / "run", replace="run")
        (tmp_path / "run" / name).unlink()


@pytest.mark.parametrize("state", [{}, {"best": "1", "files": []}, {"best": None, "files": [1]}])
def test_what_is_no_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no best value, and no names of files"):
        ModelCheckpoint().load_state_dict(state)
